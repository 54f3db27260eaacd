"""The mean and standard deviation of repeated measurements, as a table in three formats."""

import json
from collections.abc import Iterable, Sequence

import pandas as pd

from sparta_ray.base.folder import RunFolder

Key = tuple[str, ...]
"""What a value belongs to: one text for each heading."""


def mean_and_std(headings: Sequence[str], values: Iterable[tuple[Key, float]]) -> pd.DataFrame:
    """Return one row for each distinct key, in the order in which the keys first appear.

    Args:
        headings: The names of a key's parts.
        values: Pairs of key and value; each repetition is a pair of its own.

    Returns:
        The columns `headings`, ``mean``, ``std`` and ``count``. ``std`` is the sample standard
        deviation (divisor n - 1), and NaN for a single value.

    Example:
        ``[(("a",), 1.0), (("a",), 3.0)]`` gives mean 2, standard deviation 1.41 and count 2.
    """
    rows = [(*key, value) for key, value in values]
    frame = pd.DataFrame(rows, columns=[*headings, "value"]).astype({"value": float})
    grouped = frame.groupby(list(headings), sort=False)["value"]
    return grouped.agg(["mean", "std", "count"]).reset_index()


def write_table(folder: RunFolder, name: str, table: pd.DataFrame) -> str:
    """Write a table of `mean_and_std` as ``.md``, ``.csv`` and ``.json``; return the Markdown.

    Args:
        folder: Where the files go.
        name: The files' name without an extension, such as ``downstream/summary``.
        table: As `mean_and_std` returns it. A missing ``std`` is empty in CSV and null in JSON.
    """
    markdown = as_markdown(table)
    records = table.astype(object).where(table.notna(), None).to_dict("records")
    folder.write(f"{name}.md", markdown + "\n")
    folder.write(f"{name}.csv", table.to_csv(index=False))
    folder.write(f"{name}.json", json.dumps(records, indent=1))
    return markdown


def as_markdown(table: pd.DataFrame) -> str:
    """Return a table in which mean, standard deviation and count share one aligned column."""
    keys = table.drop(columns=["mean", "std", "count"])
    numbers = map(_format, table["mean"], table["std"], table["count"])
    rows = [[*key, text] for key, text in zip(keys.to_numpy().tolist(), numbers, strict=True)]
    lines = [[*keys.columns, "mean ± std (n)"], *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    texts = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    return "\n".join([texts[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *texts[1:]])


def _format(mean: float, std: float, count: int) -> str:
    if count == 1:
        return f"{mean:.4g} (one)"
    return f"{mean:.4g} ± {std:.2g} ({count})"
