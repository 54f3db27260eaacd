"""What a metric is: its name and meaning, and how a score follows from sums over cases.

A metric is split in two, so that the same code gives the score of one case, of all cases, and of
cases drawn again for an interval. Its *statistics* are a few sums for each case; its *result* turns
such sums into a score. Sums of several cases are added before the result is taken.

Legend: P sums, ... any leading dimensions.
"""

from abc import ABC, abstractmethod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Better = Literal["lower", "higher", "nearer zero"]

NOTHING_TO_SCORE = "there is no true value to compare with"
NOT_FINITE = "its sums over cases are too large for a number, or not defined"


class UndefinedError(ValueError):
    """A metric has no value for the data that it was given; the message says why."""


class Metric:
    """What readers need to know about a metric.

    Attributes:
        key: The name under which scores are stored, such as ``rrmse``.
        label: The name in headings. ``{step}`` and ``{steps}`` in it become what the steps of the
            data are called: day and days, or step and steps (`StepLength.worded`).
        better: Which direction is better, or None where neither is.
        meaning: One sentence, with the same placeholders.
        units: Units of the score; empty for a pure number, None for those of the variable scored.
    """

    key: str
    label: str
    better: Better | None
    meaning: str
    units: str | None = ""


class UnlistedMetric(Metric):
    """A metric that is not in the catalogue: it is shown under its own name."""

    better = None
    meaning = ""

    def __init__(self, key: str):
        self.key, self.label = key, key[:1].upper() + key[1:]


class CaseMetric(Metric, ABC):
    """A metric whose scores follow from sums over cases.

    Attributes:
        form: The name of the rule in `FORMS` by which a score follows from its sums; it is stored
            beside them. Empty for a metric with a rule of its own, which is stored by its key.
    """

    form: str = ""

    @abstractmethod
    def result(self, sums: Floats) -> NDArray[np.float64]:
        """Return the score of sums over cases, shape (..., P) to (...); NaN where there is none."""

    def why_undefined(self, sums_P: Floats) -> str:
        """Return why these sums have no score; empty if they have one."""
        if np.isfinite(self.result(sums_P)):
            return ""
        return NOTHING_TO_SCORE if np.isfinite(sums_P).all() else NOT_FINITE


class Mean(CaseMetric):
    """A mean, s0 / s1."""

    form = "mean"

    def result(self, sums: Floats) -> NDArray[np.float64]:
        """See `CaseMetric.result`."""
        total, weight = np.moveaxis(np.asarray(sums, dtype=np.float64), -1, 0)
        return _ratio(total, weight)


class RootMean(CaseMetric):
    """The square root of a mean, sqrt(s0 / s1)."""

    form = "root mean"

    def result(self, sums: Floats) -> NDArray[np.float64]:
        """See `CaseMetric.result`."""
        total, weight = np.moveaxis(np.asarray(sums, dtype=np.float64), -1, 0)
        return np.asarray(np.sqrt(_ratio(total, weight)))


class RelativeRootMean(CaseMetric):
    """A root mean square in % of a mean, 100 sqrt(s0 / s2) / (s1 / s2).

    Example:
        Squared errors 1 and 1 of truths 1 and 3 are the sums (2, 4, 2): 100 · 1 / 2 = 50 %.
    """

    form = "relative root mean"

    def result(self, sums: Floats) -> NDArray[np.float64]:
        """See `CaseMetric.result`; NaN where the mean is not above 0."""
        squares, total, weight = np.moveaxis(np.asarray(sums, dtype=np.float64), -1, 0)
        mean = _ratio(total, weight)
        root = np.sqrt(_ratio(squares, weight))
        return np.asarray(100 * root / np.where(mean > 0, mean, np.nan))

    def why_undefined(self, sums_P: Floats) -> str:
        """See `CaseMetric.why_undefined`."""
        if sums_P[2] > 0 and sums_P[1] <= 0:
            return (
                "the mean of the truth over all variables and points is not above 0, and a "
                "relative error divides by it"
            )
        return super().why_undefined(sums_P)


class Decibel(CaseMetric):
    """A mean of squares in decibels, -10 log10(s0 / s1)."""

    form = "decibel"

    def result(self, sums: Floats) -> NDArray[np.float64]:
        """See `CaseMetric.result`; NaN where the mean is 0."""
        total, weight = np.moveaxis(np.asarray(sums, dtype=np.float64), -1, 0)
        mean = _ratio(total, weight)
        return np.asarray(-10 * np.log10(np.where(mean > 0, mean, np.nan)))

    def why_undefined(self, sums_P: Floats) -> str:
        """See `CaseMetric.why_undefined`."""
        if sums_P[1] > 0 and sums_P[0] == 0:
            return "the fields equal the truth, so the ratio is infinite"
        return super().why_undefined(sums_P)


class StandardDeviation(CaseMetric):
    """A standard deviation, sqrt(s0 / s2 - (s1 / s2)²), of Σ x², Σ x and the count."""

    form = "standard deviation"

    def result(self, sums: Floats) -> NDArray[np.float64]:
        """See `CaseMetric.result`."""
        squares, total, count = np.moveaxis(np.asarray(sums, dtype=np.float64), -1, 0)
        variance = _ratio(squares, count) - _ratio(total, count) ** 2
        return np.asarray(np.sqrt(np.maximum(variance, 0)))


FORMS: dict[str, CaseMetric] = {
    rule.form: rule
    for rule in (Mean(), RootMean(), RelativeRootMean(), Decibel(), StandardDeviation())
}
"""The rules by which scores follow from sums, by the name under which they are stored."""


def mean_of_cases(values: Floats) -> NDArray[np.float64]:
    """Return the sums of a plain mean over cases, of one value for each, shape (2, cases)."""
    return np.stack([np.asarray(values, dtype=np.float64), np.ones(len(values))])


def best(values: list[float], better: Better) -> float:
    """Return the best of some values."""
    if better == "nearer zero":
        return min(values, key=abs)
    return min(values) if better == "lower" else max(values)


def _ratio(total: Floats, weight: Floats) -> NDArray[np.float64]:
    """Return total / weight; NaN where the weight is 0."""
    return np.asarray(total / np.where(weight == 0, np.nan, weight), dtype=np.float64)
