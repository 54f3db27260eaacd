"""Scores as tables: a row for each model, with the paper's numbers and the best marked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sparta_ray.base.durations import DAY, StepLength
from sparta_ray.base.variables import parse
from sparta_ray.figures.display import (
    decimals_for,
    display_of,
    model_name,
    model_order,
    number,
    setting_name,
)
from sparta_ray.metrics.catalogue import metric_of
from sparta_ray.metrics.metric import Metric, best
from sparta_ray.metrics.records import Score, is_baseline
from sparta_ray.metrics.uncertainty import spread_over_seeds
from sparta_ray.report.study_scores import Question, StudyScores, question_of


@dataclass(frozen=True)
class Cell:
    """One model's number in one column.

    Attributes:
        text: The number, ± its standard deviation over trainings where there are several.
        published: The paper's.
        best: Whether it is the best in its column.
        interval: Its 95 % interval over test windows; empty if unknown.
        why: Why there is no interval, or no number.
    """

    text: str
    published: str
    best: bool
    interval: str = ""
    why: str = ""


@dataclass(frozen=True)
class Row:
    """One model's cells, in the columns' order; `group` is set on the first row of a group."""

    model: str
    is_baseline: bool
    group: str
    cells: tuple[Cell, ...]
    cost: str = ""


@dataclass(frozen=True)
class Column:
    """A heading, and whether the paper's number stands beside ours."""

    label: str
    published: bool


@dataclass(frozen=True)
class Table:
    """A table with all of its texts ready to be written."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    explanations: tuple[str, ...]

    @property
    def published(self) -> bool:
        """Whether any of the paper's numbers are in it."""
        return any(column.published for column in self.columns)


@dataclass(frozen=True)
class _Place:
    """Where a score belongs: which table, which group of rows in it, which column."""

    table: str
    group: str
    column: str


def score_tables(scores: Iterable[Score], study_scores: StudyScores | None = None) -> list[Table]:
    """Return the tables of one task's scores, with intervals and costs if `study_scores` is given.

    Scores by lead time make one table for each metric, with a column for each lead time. Scores of
    single variables make one table for each metric, with a column for each variable and a group of
    rows for each lead time. All other scores make one table with a column for each metric. Each
    forecast setting has its own tables. Several seeds become their mean ± standard deviation. A
    metric is explained under the first table that has it.
    """
    step = DAY if study_scores is None else study_scores.study.step
    by_table: dict[str, list[tuple[_Place, Score]]] = {}
    for score in sorted(scores, key=lambda score: score.lead_days or 0):
        place = _place(score, step)
        by_table.setdefault(place.table, []).append((place, score))
    tables: list[Table] = []
    for caption, entries in by_table.items():
        said = {sentence for table in tables for sentence in table.explanations}
        sentences = _explanations([score for _, score in entries], step)
        new = tuple(sentence for sentence in sentences if sentence not in said)
        tables.append(_table(caption, entries, new, study_scores))
    return tables


def _place(score: Score, step: StepLength) -> _Place:
    name = step.worded(metric_of(score.metric).label)
    units = f" ({score.units})" if score.units else ""
    suffix = f": {setting_name(score.setting, step)}" if score.setting else ""
    if score.variable is not None:
        shown = display_of(score.variable)
        column = shown.symbol + (f" ({shown.units})" if _in_si_units(score) else units)
        group = "" if score.lead_days is None else step.lasting(score.lead_days)
        return _Place(f"{name} of each variable{suffix}", group, column)
    if score.lead_days is not None:
        return _Place(f"{name}{units} by lead time{suffix}", "", step.lasting(score.lead_days))
    return _Place(f"Scores{suffix}", "", f"{name}{units}")


def _table(
    caption: str,
    entries: Sequence[tuple[_Place, Score]],
    explanations: tuple[str, ...],
    study_scores: StudyScores | None,
) -> Table:
    labels = list(dict.fromkeys(place.column for place, _ in entries))
    groups = list(dict.fromkeys(place.group for place, _ in entries))
    columns, cells = [], {}
    for label in labels:
        chosen = [(place.group, score) for place, score in entries if place.column == label]
        columns.append(Column(label, any(s.published is not None for _, s in chosen)))
        for key, cell in _column_cells(chosen, study_scores).items():
            cells[(*key, label)] = cell
    asked = {(place.group, place.column): question_of(score) for place, score in entries}
    failed = study_scores.study.empty if study_scores is not None else ()
    rows = []
    for group in groups:
        models = model_order(score.model for place, score in entries if place.group == group)
        for i, model in enumerate([*models, *failed]):
            row = tuple(
                cells.get((group, model, label))
                or _empty(model, asked.get((group, label)), study_scores)
                for label in labels
            )
            cost = study_scores.cost(model) if study_scores is not None else None
            first = group if i == 0 else ""
            name = model_name(model)
            rows.append(Row(name, is_baseline(model), first, row, cost.words if cost else ""))
    return Table(caption, tuple(columns), tuple(rows), explanations)


def _empty(model: str, question: Question | None, study_scores: StudyScores | None) -> Cell:
    """Return the cell of a missing number, which says why it is missing if that is known."""
    if question is None or study_scores is None:
        return Cell("–", "", False)
    return Cell("–", "", False, why=study_scores.why_none(model, question))


def _column_cells(
    chosen: Sequence[tuple[str, Score]], study_scores: StudyScores | None
) -> dict[tuple[str, str], Cell]:
    """Return the cells of one column by (group, model)."""
    values: dict[tuple[str, str], list[float]] = {}
    published: dict[tuple[str, str], float] = {}
    scores: dict[tuple[str, str], list[Score]] = {}
    for group, score in chosen:
        key = (group, score.model)
        scores.setdefault(key, []).append(score)
        values.setdefault(key, []).append(score.value * _factor(score))
        if score.published is not None:
            published[key] = score.published
    means = {key: float(np.mean(numbers)) for key, numbers in values.items()}
    decimals = decimals_for([*means.values(), *published.values()])
    winners = _winners(means, metric_of(chosen[0][1].metric))
    cells = {}
    for key in means:
        text = _with_spread(scores[key], _factor(scores[key][0]), decimals)
        paper = number(published[key], decimals) if key in published else ""
        interval = _interval(scores[key][0], decimals, study_scores)
        cells[key] = Cell(text, paper, key in winners, *interval)
    return cells


def _interval(score: Score, decimals: int, study_scores: StudyScores | None) -> tuple[str, str]:
    """Return a score's interval as text, and the reason if it has none."""
    if study_scores is None:
        return "", ""
    found = study_scores.answer(score.model, question_of(score)).interval
    if found.low is None or found.high is None:
        return "", found.reason
    ends = (number(end * _factor(score), decimals) for end in (found.low, found.high))
    return " to ".join(ends), ""


def _winners(means: dict[tuple[str, str], float], metric: Metric) -> set[tuple[str, str]]:
    """Return the best model of each group that has at least two."""
    won: set[tuple[str, str]] = set()
    for group in {group for group, _ in means}:
        rivals = {key: value for key, value in means.items() if key[0] == group}
        if metric.better is not None and len(rivals) > 1:
            first = best(list(rivals.values()), metric.better)
            won |= {key for key, value in rivals.items() if value == first}
    return won


def _with_spread(scores: Sequence[Score], factor: float, decimals: int) -> str:
    text = number(factor * float(np.mean([score.value for score in scores])), decimals)
    spread = spread_over_seeds(scores)
    return text if spread is None else f"{text} ± {number(factor * spread, decimals)}"


def _explanations(scores: Sequence[Score], step: StepLength) -> tuple[str, ...]:
    """Return a sentence for each metric, and one on seeds where there are several."""
    metrics = [metric_of(name) for name in dict.fromkeys(score.metric for score in scores)]
    sentences = [step.worded(f"{m.label}: {m.meaning}") for m in metrics if m.meaning]
    trainings = {(score.run, score.seed) for score in scores if score.seed is not None}
    if len(trainings) > 1:
        sentences.append("Mean ± standard deviation over trainings with different seeds.")
    return tuple(sentences)


def _in_si_units(score: Score) -> bool:
    return score.variable is not None and score.units == parse(score.variable).definition.units


def _factor(score: Score) -> float:
    """Return the factor that converts a value to the units in which it is shown."""
    if score.variable is None or not _in_si_units(score):
        return 1.0
    return display_of(score.variable).factor
