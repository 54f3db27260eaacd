"""Writes the report: a page that needs no other file, and its numbers as JSON, CSV, Markdown."""

import base64
import csv
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl

from sparta_ray.base.durations import DAY
from sparta_ray.figures.display import decimals_for, model_name, number
from sparta_ray.figures.report_figure import ReportFigure
from sparta_ray.figures.style import WIDTH
from sparta_ray.metrics.records import Absent, Score
from sparta_ray.report.paper_tables import PaperCell, PaperTable
from sparta_ray.report.study_scores import StudyScores
from sparta_ray.report.table_files import (
    PlainTable,
    of_paper_table,
    of_score_table,
    of_verdicts,
)
from sparta_ray.report.tables import Table, score_tables
from sparta_ray.report.verdicts import ClaimVerdict
from sparta_ray.tasks.sections import SECTIONS, check_tasks

MAP_DPI = 130

_VERDICT_CLASSES = {
    "holds": "holds",
    "holds in part": "holds",
    "mixed": "weak",
    "not separable": "weak",
    "does not hold": "does-not-hold",
}

SIMULATED_NOTE = (
    "Simulated weather: compare these numbers only between models on the same data, not with the "
    "paper's, which are on ERA5."
)
PUBLISHED_NOTE = "Paper: the published number, on ERA5 from 1959 to 2023."


@dataclass(frozen=True, kw_only=True)
class ReportContext:
    """The content of a report.

    Attributes:
        title: Title of the page.
        verdicts: The claims and our verdicts on them, which come first.
        summary: The findings, in sentences.
        run: What was run and on which data, by name.
        shortened: Settings that differ from the published ones: name, published, this run's.
        notes: Limits that a reader must know.
        scores: Every score; all are in the files beside the page.
        tabled: The scores in the page's tables, which show some lead times only.
        absent: Scores that could not be computed.
        figures: Every figure, in order within each section.
        paper_tables: The published tables.
        published_layout: The same, laid out as the file of published numbers.
        files: Tables that are only written as files.
        cards: Model cards, Markdown by file name.
        study_scores: Intervals and costs; None leaves them out.
        simulated: Whether the data are simulated, and so not comparable with the paper's.
    """

    title: str
    summary: Sequence[str]
    run: Mapping[str, str]
    shortened: Sequence[tuple[str, str, str]]
    notes: Sequence[str]
    scores: Sequence[Score]
    tabled: Sequence[Score]
    figures: Sequence[ReportFigure]
    simulated: bool
    verdicts: Sequence[ClaimVerdict] = ()
    absent: Sequence[Absent] = ()
    paper_tables: Sequence[PaperTable] = ()
    published_layout: Mapping[str, Any] = field(default_factory=dict)
    files: Sequence[PlainTable] = ()
    cards: Mapping[str, str] = field(default_factory=dict)
    study_scores: StudyScores | None = None


@dataclass(frozen=True)
class _Image:
    title: str
    caption: str
    alt: str
    source: str
    width_percent: int


@dataclass(frozen=True)
class _Section:
    anchor: str
    heading: str
    question: str
    tables: list[Table]
    images: list[_Image]
    absent: list[Absent]

    @property
    def published(self) -> bool:
        """Whether any of the paper's numbers are in its tables."""
        return any(table.published for table in self.tables)


def write_report(folder: Path, context: ReportContext) -> Path:
    """Write the page, the files of its numbers and tables, and the model cards.

    Returns:
        The path of the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sections = _sections(context)
    tables = _plain_tables(context, sections)
    for name, content in (file for table in tables for file in table.files()):
        _write(folder / "tables" / name, content)
    layout = {"comparable": not context.simulated, **context.published_layout}
    _write(folder / "tables" / "published_layout.json", json.dumps(layout, indent=1) + "\n")
    for name, card in context.cards.items():
        _write(folder / "models" / name, card)
    records = [dataclasses.asdict(score) for score in context.scores]
    metrics = {
        "title": context.title,
        "simulated": context.simulated,
        "run": dict(context.run),
        "shortened": [list(entry) for entry in context.shortened],
        "scores": records,
        "absent": [dataclasses.asdict(absent) for absent in context.absent],
        "tables": {table.name: table.records for table in tables},
    }
    text = json.dumps(metrics, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
    with (folder / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in dataclasses.fields(Score)])
        writer.writeheader()
        writer.writerows(records)
    page = folder / "index.html"
    page.write_text(_render(context, sections), encoding="utf-8")
    return page


def _plain_tables(context: ReportContext, sections: Sequence["_Section"]) -> list[PlainTable]:
    """Return every table of the page, and those that are only written as files."""
    tables = [of_paper_table(table, not context.simulated) for table in context.paper_tables]
    tables += context.files
    if context.verdicts:
        tables.append(of_verdicts(context.verdicts))
    for section in sections:
        tables += [of_score_table(table, section.heading) for table in section.tables]
    return tables


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def _render(context: ReportContext, sections: Sequence["_Section"]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sparta_ray.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        context=context,
        sections=sections,
        run_tables=[table for table in context.paper_tables if not table.is_empty],
        empty_tables=[table for table in context.paper_tables if table.is_empty],
        model_name=model_name,
        format_value=_format_value,
        format_interval=_format_interval,
        verdict_class=_VERDICT_CLASSES,
        published_note=SIMULATED_NOTE if context.simulated else PUBLISHED_NOTE,
    )


def _sections(context: ReportContext) -> list[_Section]:
    """Return the sections that have content: the figures' own ones, then the tasks in order."""
    check_tasks(context.scores)
    step = DAY if context.study_scores is None else context.study_scores.study.step
    known = {one.task: (one.heading, step.worded(one.question)) for one in SECTIONS}
    own = dict.fromkeys(f.section for f in context.figures if f.section not in known)
    sections: list[_Section] = []
    for name in (*own, *known):
        mine = (score for score in context.tabled if score.task == name)
        tables = score_tables(mine, context.study_scores)
        images = [_image(figure) for figure in context.figures if figure.section == name]
        if tables or images:
            heading, question = known.get(name, (name[:1].upper() + name[1:], ""))
            anchor = f"section-{len(sections) + 1}"
            absent = [a for a in context.absent if a.task == name]
            sections.append(_Section(anchor, heading, question, tables, images, absent))
    return sections


def _format_value(value: float) -> str:
    """Return a number with as many digits as are useful."""
    return number(value, decimals_for([value]))


def _format_interval(cell: PaperCell) -> str:
    """Return a cell's interval as text, or an empty text if it has none."""
    interval, value = cell.ours.interval, cell.ours.value
    if value is None or interval.low is None or interval.high is None:
        return ""
    decimals = decimals_for([value])
    return f"{number(interval.low, decimals)} to {number(interval.high, decimals)}"


def _image(figure: ReportFigure) -> _Image:
    """Return a figure as an image embedded in the page, the same bytes for the same figure."""
    file = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "sparta-ray"}):
        if figure.raster:
            mime = "image/webp"
            figure.figure.savefig(file, format="webp", dpi=MAP_DPI, pil_kwargs={"quality": 92})
        else:
            mime = "image/svg+xml"
            figure.figure.savefig(file, format="svg", metadata={"Date": None})
    source = f"data:{mime};base64,{base64.b64encode(file.getvalue()).decode()}"
    width = min(100, round(100 * figure.figure.get_figwidth() / WIDTH))
    return _Image(figure.title, figure.caption, figure.alt, source, width)
