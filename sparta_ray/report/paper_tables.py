"""Every table of the paper, and Table 3.1 of its background report: ours beside the published.

Each is a function of the evidence that returns all of the published rows and columns; what was not
run is a cell that says why it is empty.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sparta_ray.evaluation.published_results import (
    SIMPLE,
    published_results,
    published_value,
)
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
"""Columns of Tables 5, 9 and 14; the spread per condition is ours, beside the published one."""

SMOOTHNESS = {
    "Mean temporal distance": Question("latent space", "temporal distance"),
    "± over days": Question("latent space", "temporal distance std"),
    "Mean cycle distance": Question("latent space", "cycle distance"),
    "± over days (cycle)": Question("latent space", "cycle distance std"),
    "Relative temporal distance": Question("latent space", "relative temporal distance"),
    "Relative cycle distance": Question("latent space", "relative cycle distance"),
}
"""Columns of Tables 4, 10 and 15; those relative to the total variance are ours."""

PAIRS = {
    "Mean positive cosine": Question("latent space", "positive cosine"),
    "Mean negative cosine": Question("latent space", "negative cosine"),
    "Mean variance": Question("latent space", "embedding variance"),
}


@dataclass(frozen=True)
class PaperCell:
    """One number of a published table.

    Attributes:
        ours: The study's answer.
        published: The paper's number; None for a column of ours.
    """

    ours: Answer
    published: float | None

    @property
    def difference(self) -> float | None:
        """Ours less the published number."""
        if self.ours.value is None or self.published is None:
            return None
        return self.ours.value - self.published


@dataclass(frozen=True)
class PaperRow:
    """One variant's row."""

    variant: str
    cost: Cost | None
    cells: tuple[PaperCell, ...]


@dataclass(frozen=True)
class PaperTable:
    """A published table, whole.

    Attributes:
        number: As in the documents.
        caption: What it shows.
        columns: Headings of the cells.
        rows: In the published order.
        other_data: What the published numbers were made with that ours are not, so that no
            difference is given; empty if nothing.
    """

    number: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[PaperRow, ...]
    other_data: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing of it was run."""
        return all(cell.ours.value is None for row in self.rows for cell in row.cells)


def table_1(evidence: StudyScores) -> PaperTable:
    """Forecasts of early fusion and the autoencoder, look-back 30."""
    return _forecasts(evidence, "1", "lookback30_stride1", BENCHMARK)


def table_2(evidence: StudyScores) -> PaperTable:
    """The same, look-back 5, windows starting every 5 days."""
    return _forecasts(evidence, "2", "lookback5_stride5", BENCHMARK)


def table_3(evidence: StudyScores) -> PaperTable:
    """The same, look-back 5, windows starting every 10 days."""
    return _forecasts(evidence, "3", "lookback5_stride10", BENCHMARK)


def table_4(evidence: StudyScores) -> PaperTable:
    """Smoothness of the autoencoder and early fusion."""
    return _table(evidence, "4", "Smoothness", tuple(reversed(BENCHMARK)), SMOOTHNESS)


def table_5(evidence: StudyScores) -> PaperTable:
    """Diffusion and classification of early fusion and the autoencoder."""
    return _table(evidence, "5", "Diffusion and classification", BENCHMARK, TASKS)


def table_6(evidence: StudyScores) -> PaperTable:
    """Ablation: forecasts, look-back 30."""
    return _forecasts(evidence, "6", "lookback30_stride1", ABLATION)


def table_7(evidence: StudyScores) -> PaperTable:
    """Ablation: forecasts, look-back 5, windows starting every 5 days."""
    return _forecasts(evidence, "7", "lookback5_stride5", ABLATION)


def table_8(evidence: StudyScores) -> PaperTable:
    """Ablation: forecasts, look-back 5, windows starting every 10 days."""
    return _forecasts(evidence, "8", "lookback5_stride10", ABLATION)


def table_9(evidence: StudyScores) -> PaperTable:
    """Ablation: diffusion and classification."""
    return _table(evidence, "9", "Ablation: diffusion and classification", ABLATION, TASKS)


def table_10(evidence: StudyScores) -> PaperTable:
    """Ablation: smoothness."""
    return _table(evidence, "10", "Ablation: smoothness", ABLATION, SMOOTHNESS)


def table_11(evidence: StudyScores) -> PaperTable:
    """Late fusion: forecasts, look-back 30."""
    return _forecasts(evidence, "11", "lookback30_stride1", FUSION)


def table_12(evidence: StudyScores) -> PaperTable:
    """Late fusion: forecasts, look-back 5, windows starting every 5 days."""
    return _forecasts(evidence, "12", "lookback5_stride5", FUSION)


def table_13(evidence: StudyScores) -> PaperTable:
    """Late fusion: forecasts, look-back 5, windows starting every 10 days."""
    return _forecasts(evidence, "13", "lookback5_stride10", FUSION)


def table_14(evidence: StudyScores) -> PaperTable:
    """Late fusion: diffusion and classification."""
    return _table(evidence, "14", "Late fusion: diffusion and classification", FUSION, TASKS)


def table_15(evidence: StudyScores) -> PaperTable:
    """Late fusion: smoothness of self-attention and graph."""
    return _table(evidence, "15", "Late fusion: smoothness", FUSION[1:], SMOOTHNESS)


def table_3_1(evidence: StudyScores) -> PaperTable:
    """Contrastive methods of the background report: cosine similarity and variance."""
    table = _table(evidence, "3.1", "Cosine similarity and variance", METHODS, PAIRS)
    said = published_results()["contrastive_methods_table_3_1"]["note"]
    return replace(table, other_data=said.removeprefix("background report: "))


PAPER_TABLES: tuple[Callable[[StudyScores], PaperTable], ...] = (
    table_1, table_2, table_3, table_4, table_5, table_6, table_7, table_8, table_9, table_10,
    table_11, table_12, table_13, table_14, table_15, table_3_1,
)  # fmt: skip


def published_layout(evidence: StudyScores) -> dict[str, Any]:
    """Return ours beside the published, laid out row by row as the file of published numbers.

    Every number of its tables becomes ``ours``, ``published``, ``difference``, ``low``, ``high``,
    ``spread`` over trainings, and ``reason`` where ours is missing.
    """
    published = published_results()
    forecasts = published["forecast_rrmse_percent"]
    layout: dict[str, Any] = {
        "forecast_rrmse_percent": {
            setting: {
                variant: {
                    lead: cell_record(_forecast_cell(evidence, variant, setting, int(lead)))
                    for lead in leads
                }
                for variant, leads in rows.items()
            }
            for setting, rows in forecasts.items()
        }
    }
    for table in dict.fromkeys(table for table, _ in SIMPLE.values()):
        names = [name for name in published[table] if name not in ("columns", "note")]
        columns = published[table].get("columns")
        questions = _columns_of(table)
        layout[table] = {"columns": columns} if columns else {}
        for variant in names:
            cells = [cell_record(_cell(evidence, variant, q)) for q in questions]
            layout[table][variant] = cells if columns else cells[0]
    return layout


def cell_record(cell: PaperCell) -> dict[str, Any]:
    """Return a cell as plain values."""
    ours = cell.ours
    return {
        "ours": ours.value,
        "low": ours.interval.low,
        "high": ours.interval.high,
        "spread": ours.spread,
        "published": cell.published,
        "difference": cell.difference,
        "reason": ours.reason or ours.interval.reason,
    }


def _columns_of(table: str) -> list[Question]:
    return [Question(*key) for key, (found, _) in SIMPLE.items() if found == table]


def _forecasts(
    evidence: StudyScores, number: str, setting: str, variants: Sequence[str]
) -> PaperTable:
    rows = [
        PaperRow(
            variant,
            evidence.cost(variant),
            tuple(_forecast_cell(evidence, variant, setting, lead) for lead in LEADS),
        )
        for variant in variants
    ]
    columns = tuple(f"RRMSE (%) T={lead}" for lead in LEADS)
    caption = f"Autoregressive forecasts, {SETTINGS[setting]}"
    return PaperTable(number, caption, columns, tuple(rows))


def _forecast_cell(evidence: StudyScores, variant: str, setting: str, lead: int) -> PaperCell:
    return _cell(evidence, variant, Question("forecast", "rrmse", setting, lead))


def _table(
    evidence: StudyScores,
    number: str,
    caption: str,
    variants: Sequence[str],
    columns: dict[str, Question],
) -> PaperTable:
    rows = [
        PaperRow(
            variant,
            evidence.cost(variant),
            tuple(_cell(evidence, variant, question) for question in columns.values()),
        )
        for variant in variants
    ]
    return PaperTable(number, caption, tuple(columns), tuple(rows))


def _cell(evidence: StudyScores, variant: str, question: Question) -> PaperCell:
    published = published_value(
        question.task, question.metric, variant, question.setting, question.lead_days
    )
    return PaperCell(evidence.answer(variant, question), published)
