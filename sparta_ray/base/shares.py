"""How a batch's rows are shared among the training processes."""


def rank_rows(rows: slice, rank: int, ranks: int) -> slice:
    """Return rank's part of a batch's rows; parts differ by at most one row."""
    count = rows.stop - rows.start
    return slice(rows.start + rank * count // ranks, rows.start + (rank + 1) * count // ranks)
