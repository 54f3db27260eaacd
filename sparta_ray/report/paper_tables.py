"""The published tables as data, and one function that fills them with a study's scores.

Every table has all of its published rows and columns; a cell whose score is missing says why.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sparta_ray.evaluation.published_results import published_results, published_value
from sparta_ray.report.study_scores import Answer, Question, StudyScores
from sparta_ray.run.cost import Cost

BENCHMARK = ("sparta_early_hn_cycle", "autoencoder")
ABLATION = ("sparta_early", "sparta_early_cycle", "sparta_early_hn", "sparta_early_hn_cycle")
FUSION = ("sparta_early_hn_cycle", "sparta_late_attention", "sparta_late_graph")
METHODS = ("barlow_twins", "simclr", "supcon")

LEADS = (25, 50, 75, 100)

SETTINGS = {
    "lookback30_stride1": "look-back 30, sampling interval 1",
    "lookback5_stride5": "look-back 5, sampling interval 5",
    "lookback5_stride10": "look-back 5, sampling interval 10",
}

TASKS = {
    "RRMSE (%)": Question("diffusion", "rrmse"),
    "Latent density": Question("diffusion", "latent density"),
    "Realism": Question("diffusion", "realism"),
    "Std dev": Question("diffusion", "std"),
    "Std dev per condition": Question("diffusion", "std per condition"),
    "Test loss": Question("classification", "cross-entropy"),
}
"""Columns of Tables 5, 9 and 14. The standard deviation per condition is not in the paper."""

SMOOTHNESS = {
    "Mean temporal distance": Question("latent space", "temporal distance"),
    "± over days": Question("latent space", "temporal distance std"),
    "Mean cycle distance": Question("latent space", "cycle distance"),
    "± over days (cycle)": Question("latent space", "cycle distance std"),
    "Relative temporal distance": Question("latent space", "relative temporal distance"),
    "Relative cycle distance": Question("latent space", "relative cycle distance"),
}
"""Columns of Tables 4, 10 and 15. Distances relative to the total variance are not in the paper."""

PAIRS = {
    "Mean positive cosine": Question("latent space", "positive cosine"),
    "Mean negative cosine": Question("latent space", "negative cosine"),
    "Mean variance": Question("latent space", "embedding variance"),
}


@dataclass(frozen=True)
class TableSpec:
    """The layout of a published table.

    Attributes:
        number: As in the documents.
        caption: What it shows.
        variants: One for each row, in the published order.
        columns: The questions that a row answers, by heading.
        note_of: Set where the published numbers were made with data that differ from ours: the
            entry of the published results whose note names those data.
    """

    number: str
    caption: str
    variants: tuple[str, ...]
    columns: Mapping[str, Question]
    note_of: str = ""


def _forecasts(number: str, setting: str, variants: tuple[str, ...]) -> TableSpec:
    columns = {
        f"RRMSE (%) T={lead}": Question("forecast", "rrmse", setting, lead) for lead in LEADS
    }
    return TableSpec(number, f"Autoregressive forecasts, {SETTINGS[setting]}", variants, columns)


PAPER_TABLES = (
    _forecasts("1", "lookback30_stride1", BENCHMARK),
    _forecasts("2", "lookback5_stride5", BENCHMARK),
    _forecasts("3", "lookback5_stride10", BENCHMARK),
    TableSpec("4", "Smoothness", BENCHMARK[::-1], SMOOTHNESS),
    TableSpec("5", "Diffusion and classification", BENCHMARK, TASKS),
    _forecasts("6", "lookback30_stride1", ABLATION),
    _forecasts("7", "lookback5_stride5", ABLATION),
    _forecasts("8", "lookback5_stride10", ABLATION),
    TableSpec("9", "Ablation: diffusion and classification", ABLATION, TASKS),
    TableSpec("10", "Ablation: smoothness", ABLATION, SMOOTHNESS),
    _forecasts("11", "lookback30_stride1", FUSION),
    _forecasts("12", "lookback5_stride5", FUSION),
    _forecasts("13", "lookback5_stride10", FUSION),
    TableSpec("14", "Late fusion: diffusion and classification", FUSION, TASKS),
    TableSpec("15", "Late fusion: smoothness", FUSION[1:], SMOOTHNESS),
    TableSpec(
        "3.1", "Cosine similarity and variance", METHODS, PAIRS, "contrastive_methods_table_3_1"
    ),
)
"""The paper's tables in order, then Table 3.1 of its background report."""


@dataclass(frozen=True)
class PaperCell:
    """One number of a published table.

    Attributes:
        ours: The study's answer.
        published: The paper's number; None in a column that the paper does not have.
    """

    ours: Answer
    published: float | None

    @property
    def difference(self) -> float | None:
        """Our number minus the published one."""
        if self.ours.value is None or self.published is None:
            return None
        return self.ours.value - self.published


@dataclass(frozen=True)
class PaperRow:
    """The row of one variant."""

    variant: str
    cost: Cost | None
    cells: tuple[PaperCell, ...]


@dataclass(frozen=True)
class PaperTable:
    """A published table with a study's numbers in it.

    Attributes:
        number: As in the documents.
        caption: What it shows.
        columns: Headings of the cells.
        rows: In the published order.
        other_data: Which data the published numbers were made with, where those differ from ours
            and no difference is given; empty otherwise.
    """

    number: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[PaperRow, ...]
    other_data: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether every one of our numbers is missing."""
        return all(cell.ours.value is None for row in self.rows for cell in row.cells)


def paper_table(spec: TableSpec, scores: StudyScores) -> PaperTable:
    """Return a published table filled with the scores of a study."""
    rows = tuple(
        PaperRow(
            variant,
            scores.cost(variant),
            tuple(paper_cell(scores, variant, question) for question in spec.columns.values()),
        )
        for variant in spec.variants
    )
    note = published_results()[spec.note_of]["note"] if spec.note_of else ""
    other_data = note.removeprefix("background report: ")
    return PaperTable(spec.number, spec.caption, tuple(spec.columns), rows, other_data)


def paper_cell(scores: StudyScores, variant: str, question: Question) -> PaperCell:
    """Return a variant's score on a question with the published number."""
    published = published_value(
        question.task, question.metric, variant, question.setting, question.lead_days
    )
    return PaperCell(scores.answer(variant, question), published)
