"""Twins of the page's tables: each as Markdown, CSV and JSON."""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sparta_ray.report.display import model_name
from sparta_ray.report.paper_tables import PaperTable, cell_record
from sparta_ray.report.tables import Table
from sparta_ray.report.verdicts import ClaimVerdict

Value = str | float | int | None


@dataclass(frozen=True)
class PlainTable:
    """A table of plain values.

    Attributes:
        name: Names its files.
        caption: What it shows.
        header: Headings.
        rows: As many values each as headings.
    """

    name: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]

    @property
    def records(self) -> list[dict[str, Value]]:
        """Its rows, by heading."""
        return [dict(zip(self.header, row, strict=True)) for row in self.rows]

    def files(self) -> Iterator[tuple[str, str]]:
        """Yield name and content of its three files."""
        yield f"{self.name}.md", self._markdown()
        yield f"{self.name}.csv", self._csv()
        content: dict[str, Any] = {"caption": self.caption, "rows": self.records}
        yield f"{self.name}.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    def _markdown(self) -> str:
        lines = [f"**{self.caption}**", "", _line(self.header), _line(["---"] * len(self.header))]
        return "\n".join([*lines, *map(_line, self.rows)]) + "\n"

    def _csv(self) -> str:
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([self.header, *self.rows])
        return file.getvalue()


def of_paper_table(table: PaperTable, comparable: bool) -> PlainTable:
    """Return a published table, one line for each of its numbers.

    Args:
        table: The table.
        comparable: Whether our data are the paper's; otherwise no difference is given.
    """
    rows = []
    for row in table.rows:
        cost = row.cost
        costs = (cost.parameters, cost.steps, cost.flop / 1e15) if cost else (None,) * 3
        for column, cell in zip(table.columns, row.cells, strict=True):
            record = cell_record(cell)
            if (table.other_data or not comparable) and record["published"] is not None:
                record["difference"] = None
                record["reason"] = "; ".join(
                    filter(None, [record["reason"], "other data than the paper's"])
                )
            rows.append((model_name(row.variant), column, *record.values(), *costs))
    header = (
        *("variant", "column", "ours", "low", "high", "spread"),
        *("published", "difference", "reason", "parameters", "steps", "PFLOP"),
    )
    caption = f"Table {table.number}. {table.caption}"
    return PlainTable(f"table-{table.number}", caption, header, tuple(rows))


def of_score_table(table: Table, section: str) -> PlainTable:
    """Return a table of the page as it is shown."""
    header = ["group", "model", "cost"]
    for column in table.columns:
        header += [column.label, f"{column.label}: interval", f"{column.label}: paper"]
    rows, group = [], ""
    for row in table.rows:
        group = row.group or group
        cells = [
            text
            for cell in row.cells
            for text in (cell.text, cell.interval or cell.why, cell.published)
        ]
        rows.append((group, row.model, row.cost, *cells))
    name = re.sub(r"[^a-z0-9]+", "-", f"{section} {table.caption}".lower()).strip("-")
    return PlainTable(name, table.caption, tuple(header), tuple(rows))


def of_verdicts(verdicts: Sequence[ClaimVerdict]) -> PlainTable:
    """Return the claims with their verdicts, one line for each comparison."""
    rows: list[tuple[Value, ...]] = []
    for judgement in verdicts:
        claim = (judgement.claim.statement, judgement.claim.source, judgement.outcome)
        rows += [
            (*claim, words, c.difference, c.interval.low, c.interval.high, c.verdict, c.reason)
            for words, c in judgement.comparisons
        ] or [(*claim, "", None, None, None, "not compared", judgement.explanation)]
    header = (
        *("claim", "source", "outcome", "score", "difference"),
        *("low", "high", "verdict", "reason"),
    )
    return PlainTable("claims", "Claims and verdicts", header, tuple(rows))


def _line(values: Sequence[Value]) -> str:
    shown = ("" if value is None else _text(value) for value in values)
    return "| " + " | ".join(text.replace("|", "\\|") for text in shown) + " |"


def _text(value: str | float | int) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
