"""Means and their spread over repetitions, as tables for people and for programs."""

import csv
import io
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Key = tuple[str, ...]


@dataclass(frozen=True)
class Spread:
    """The mean of repetitions, and how far they lie apart.

    Attributes:
        mean: Arithmetic mean.
        std: Standard deviation with n - 1; None of a single value.
        count: Number of values.
    """

    mean: float
    std: float | None
    count: int

    def __str__(self) -> str:
        if self.std is None:
            return f"{self.mean:.4g} (one)"
        return f"{self.mean:.4g} ± {self.std:.2g} ({self.count})"


def spreads(values: Iterable[tuple[Key, float]]) -> dict[Key, Spread]:
    """Return the spread of the values of each key, in the order in which keys first come.

    Example:
        ``[(("a",), 1.0), (("a",), 3.0)]`` gives 2 ± 1.41 of two.
    """
    groups: dict[Key, list[float]] = {}
    for key, value in values:
        groups.setdefault(key, []).append(value)
    return {
        key: Spread(
            statistics.fmean(group),
            statistics.stdev(group) if len(group) > 1 else None,
            len(group),
        )
        for key, group in groups.items()
    }


def as_markdown(headings: Sequence[str], rows: Mapping[Key, Spread]) -> str:
    """Return a table of keys, each with its mean ± standard deviation (number of values)."""
    lines = [[*headings, "mean ± std (n)"], *([*key, str(row)] for key, row in rows.items())]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    texts = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    return "\n".join([texts[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *texts[1:]])


def as_csv(headings: Sequence[str], rows: Mapping[Key, Spread]) -> str:
    """Return the same as CSV; `std` of a single value is empty."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, [*headings, "mean", "std", "count"])
    writer.writeheader()
    writer.writerows(_records(headings, rows))
    return file.getvalue()


def as_json(headings: Sequence[str], rows: Mapping[Key, Spread]) -> str:
    """Return the same as a JSON list; `std` of a single value is null."""
    return json.dumps(_records(headings, rows), indent=1)


def _records(
    headings: Sequence[str], rows: Mapping[Key, Spread]
) -> list[dict[str, str | float | None]]:
    return [
        {**dict(zip(headings, key, strict=True)), **vars(spread)} for key, spread in rows.items()
    ]
