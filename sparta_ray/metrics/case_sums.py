"""Scores with the sums of every case that they are made of, so that cases can be drawn again.

A case is a test day, or the window of days that a forecast starts from.

Legend: P sums, W cases.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparta_ray.base import variables
from sparta_ray.metrics.catalogue import rule_of
from sparta_ray.metrics.metric import CaseMetric
from sparta_ray.metrics.records import Absent, Score, Subject

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class CaseSums:
    """A score and, for every case, the sums it is made of.

    Attributes:
        score: The score over all cases.
        form: The rule by which it follows from the sums; see `catalogue.rule_of`.
        days: The day each case is for, counted from 1970, shape (W,).
        sums: Shape (P, W).
    """

    score: Score
    form: str
    days: NDArray[np.float64]
    sums: NDArray[np.float64]

    def result(self, sums: Floats) -> NDArray[np.float64]:
        """Return the score of other sums, shape (..., P) to (...); NaN where there is none."""
        return rule_of(self.form).result(sums)

    @property
    def why_undefined(self) -> str:
        """Why these cases together have no score; empty if they have one."""
        return rule_of(self.form).why_undefined(self.sums.sum(axis=1))


def on_common_windows(*sides: Sequence[CaseSums]) -> list[list[CaseSums]]:
    """Return every side's scores on the cases that all of them have, maybe none."""
    days = reduce(np.intersect1d, (found.days for side in sides for found in side))
    return [[_of_days(found, days) for found in side] for side in sides]


def _of_days(found: CaseSums, days: NDArray[np.float64]) -> CaseSums:
    """Return a score on some of its cases; its value stays if they have none."""
    sums = found.sums[:, np.isin(found.days, days)]
    chosen = replace(found, days=days, sums=sums)
    if not len(days) or chosen.why_undefined:
        return chosen
    return replace(chosen, score=replace(found.score, value=float(found.result(sums.sum(axis=1)))))


@dataclass(frozen=True)
class Cases:
    """Whose cases are scored: adds what a score is called to the sums.

    Attributes:
        subject: Whose fields or embeddings.
        days: The day each case is for, counted from 1970, shape (W,).
        lead_days: Steps ahead, for a forecast.
    """

    subject: Subject
    days: NDArray[np.float64]
    lead_days: int | None = None

    def sums(
        self, metric: str, form: str, *parts: Floats, units: str = "", variable: str | None = None
    ) -> CaseSums:
        """Return one score with its sums, each of shape (W,).

        Args:
            metric: The key of the metric.
            form: The rule by which the score follows; see `catalogue.rule_of`.
            parts: The sums.
            units: Units of the score.
            variable: For a score of one variable.
        """
        sums = np.stack([np.asarray(part, dtype=np.float64) for part in parts])
        value = float(rule_of(form).result(sums.sum(axis=1)))
        score = self.subject.score(metric, value, units, self.lead_days, variable)
        return CaseSums(score, form, self.days, sums)

    def mean(self, metric: str, values: Floats, units: str = "") -> CaseSums:
        """Return the mean of one value for each case."""
        return self.sums(metric, "mean", values, np.ones(len(values)), units=units)

    def score(
        self, metric: CaseMetric, sums: NDArray[np.float64], variable: str | None = None
    ) -> CaseSums | Absent:
        """Return the score of a metric's statistics, or why there is none.

        Args:
            metric: The metric.
            sums: Its statistics, shape (P, W).
            variable: For a score of one variable.
        """
        total_P = sums.sum(axis=1)
        if reason := metric.why_undefined(total_P):
            return self.absent(metric, reason if variable is None else f"{variable}: {reason}")
        units = metric.units
        if units is None:
            assert variable is not None
            units = variables.parse(variable).definition.units
        value = float(metric.result(total_P))
        score = self.subject.score(metric.key, value, units, self.lead_days, variable)
        return CaseSums(score, metric.form or metric.key, self.days, sums)

    def absent(self, metric: CaseMetric, reason: str) -> Absent:
        """Return that there is no score of a metric."""
        return Absent(self.subject.task, self.subject.model, metric.key, reason)
