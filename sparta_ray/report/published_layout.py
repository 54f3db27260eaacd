"""A study's numbers in the layout of the file of published results, for other programs."""

from typing import Any

from sparta_ray.evaluation.published_results import SIMPLE, published_results
from sparta_ray.report.paper_tables import PaperCell, paper_cell
from sparta_ray.report.study_scores import Question, StudyScores


def published_layout(scores: StudyScores) -> dict[str, Any]:
    """Return ours beside the published numbers, row by row as in the file of published results.

    Each number of that file becomes a record of ``ours``, ``published``, ``difference``, ``low``,
    ``high``, ``spread`` (standard deviation over trainings) and ``reason`` (why ours is missing).
    """
    published = published_results()
    forecasts = published["forecast_rrmse_percent"]
    layout: dict[str, Any] = {
        "forecast_rrmse_percent": {
            setting: {
                variant: {
                    lead: cell_record(
                        paper_cell(
                            scores, variant, Question("forecast", "rrmse", setting, int(lead))
                        )
                    )
                    for lead in leads
                }
                for variant, leads in rows.items()
            }
            for setting, rows in forecasts.items()
        }
    }
    for table in dict.fromkeys(table for table, _ in SIMPLE.values()):
        variants = [name for name in published[table] if name not in ("columns", "note")]
        columns = published[table].get("columns")
        questions = [Question(*key) for key, (found, _) in SIMPLE.items() if found == table]
        layout[table] = {"columns": columns} if columns else {}
        for variant in variants:
            cells = [cell_record(paper_cell(scores, variant, q)) for q in questions]
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
