"""The tables of a report as files: each as Markdown for people and as CSV for programs."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sparta_ray.data.plan.seasons import SEASONS
from sparta_ray.figures.display import model_name
from sparta_ray.report.paper_tables import PaperTable
from sparta_ray.report.published_layout import cell_record
from sparta_ray.report.study import Study
from sparta_ray.report.tables import Table
from sparta_ray.report.verdicts import ClaimVerdict
from sparta_ray.tasks.trials import trials

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
        """Yield name and content of its two files."""
        yield f"{self.name}.md", self._markdown()
        yield f"{self.name}.csv", self._csv()

    def _markdown(self) -> str:
        lines = [f"**{self.caption}**", "", _line(self.header), _line(["---"] * len(self.header))]
        return "\n".join([*lines, *map(_line, self.rows)]) + "\n"

    def _csv(self) -> str:
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([self.header, *self.rows])
        return file.getvalue()


def of_paper_table(table: PaperTable, comparable: bool) -> PlainTable:
    """Return a published table with one row for each of its numbers.

    Args:
        table: The table.
        comparable: Whether our data are the paper's. If not, no difference is given.
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
    """Return a table of the page with its numbers as they are shown there."""
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
    """Return the claims with their verdicts, one row for each comparison."""
    rows: list[tuple[Value, ...]] = []
    for verdict in verdicts:
        claim = (verdict.claim.statement, verdict.claim.source, verdict.outcome)
        rows += [
            (*claim, score, c.difference, c.interval.low, c.interval.high, c.verdict, c.reason)
            for score, c in verdict.comparisons
        ] or [(*claim, "", None, None, None, "not compared", verdict.explanation)]
    header = (
        *("claim", "source", "outcome", "score", "difference"),
        *("low", "high", "verdict", "reason"),
    )
    return PlainTable("claims", "Claims and verdicts", header, tuple(rows))


def of_confusions(study: Study) -> PlainTable:
    """Return the number of test steps by true and predicted season, for every classifier."""
    rows: list[tuple[Value, ...]] = [
        (member.run.name, trial.name, season, given, int(count))
        for member in study.members
        for trial in trials(member.run)
        if (counts := member.results.arrays.get(f"confusion-{trial.name}")) is not None
        for season, row in zip(SEASONS, counts.values, strict=True)
        for given, count in zip(SEASONS, row, strict=True)
    ]
    header = ("run", "trial", "season", "given", study.step.nouns)
    return PlainTable("confusion", "Confusion matrices of the seasons", header, tuple(rows))


def _line(values: Sequence[Value]) -> str:
    shown = ("" if value is None else _text(value) for value in values)
    return "| " + " | ".join(text.replace("|", "\\|") for text in shown) + " |"


def _text(value: str | float | int) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
