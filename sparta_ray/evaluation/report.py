"""The report: one self-contained page, with every number beside it as JSON and CSV."""

import base64
import csv
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import matplotlib as mpl
from matplotlib.figure import Figure

from sparta_ray.evaluation.score_record import TASKS, Score
from sparta_ray.evaluation.style import WIDTH
from sparta_ray.evaluation.tables import Table, score_tables

MAP_DPI = 130

SIMULATED_NOTE = (
    "Simulated weather: its numbers can only be compared between models on the same data, not with "
    "the paper's, which are on ERA5."
)
PUBLISHED_NOTE = "Paper: the published number, on ERA5 from 1959 to 2023."

HEADINGS = {
    "contrastive": ("Contrastive pretraining", "Does a day's embedding find its neighbours?"),
    "reconstruction": ("Reconstruction", "How well is a full field recovered from a sparse one?"),
    "forecast": ("Forecast", "How far ahead is a forecast in embedding space useful?"),
    "diffusion": ("Generation", "Are the embeddings that diffusion generates like real ones?"),
    "classification": ("Season classification", "Does the embedding know the season?"),
    "latent space": ("Embedding space", "How are the days arranged, and how smoothly?"),
}


@dataclass(frozen=True)
class ReportFigure:
    """A figure and the words around it.

    Attributes:
        section: A task, or the heading of a section of its own, shown before the tasks.
        title: Short heading.
        caption: What to see, how it was made.
        figure: The figure.
        alt: What it shows, for a reader who cannot see it.
        raster: True for maps, which are embedded as PNG; other figures as SVG.
    """

    section: str
    title: str
    caption: str
    figure: Figure
    alt: str
    raster: bool = False


@dataclass(frozen=True, kw_only=True)
class ReportContext:
    """Everything a report says.

    Attributes:
        title: Title of the page.
        summary: Plain sentences, the findings first.
        run: What was run on what data, by name.
        shortened: Settings that differ from the published ones: name, published, this run's.
        notes: Limits a reader must know.
        scores: Every score; all are in the files beside the page.
        tabled: Those in the page's tables, which show some lead times only.
        figures: Every figure, in the order within its section.
        simulated: Whether the data are simulated, so that the paper's numbers are no yardstick.
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

    @property
    def published(self) -> bool:
        """Whether any of the paper's numbers are in its tables."""
        return any(table.published for table in self.tables)


def write_report(folder: Path, context: ReportContext) -> Path:
    """Write ``index.html``, ``metrics.json`` and ``scores.csv`` and return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    records = [dataclasses.asdict(score) for score in context.scores]
    metrics = {
        "title": context.title,
        "simulated": context.simulated,
        "run": dict(context.run),
        "shortened": [list(entry) for entry in context.shortened],
        "scores": records,
    }
    text = json.dumps(metrics, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
    with (folder / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in dataclasses.fields(Score)])
        writer.writeheader()
        writer.writerows(records)
    page = folder / "index.html"
    page.write_text(_render(context), encoding="utf-8")
    return page


def _render(context: ReportContext) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sparta_ray.evaluation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        context=context,
        sections=_sections(context),
        published_note=SIMULATED_NOTE if context.simulated else PUBLISHED_NOTE,
    )


def _sections(context: ReportContext) -> list[_Section]:
    """Return the sections that have content: the figures' own ones, then the tasks in order."""
    own = dict.fromkeys(f.section for f in context.figures if f.section not in TASKS)
    sections: list[_Section] = []
    for name in (*own, *TASKS):
        tables = score_tables(score for score in context.tabled if score.task == name)
        images = [_image(figure) for figure in context.figures if figure.section == name]
        if tables or images:
            heading, question = HEADINGS.get(name, (name[:1].upper() + name[1:], ""))
            anchor = f"section-{len(sections) + 1}"
            sections.append(_Section(anchor, heading, question, tables, images))
    return sections


def _image(figure: ReportFigure) -> _Image:
    """Return a figure as an image embedded in the page, the same bytes for the same figure."""
    kind, mime = ("png", "image/png") if figure.raster else ("svg", "image/svg+xml")
    metadata = {"Software": None} if figure.raster else {"Date": None}
    file = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "sparta-ray"}):
        figure.figure.savefig(file, format=kind, dpi=MAP_DPI, metadata=metadata)
    source = f"data:{mime};base64,{base64.b64encode(file.getvalue()).decode()}"
    width = min(100, round(100 * figure.figure.get_figwidth() / WIDTH))
    return _Image(figure.title, figure.caption, figure.alt, source, width)
