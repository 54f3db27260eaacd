"""Metrics of an ensemble of fields: CRPS, and whether the spread of samples tells their error.

Legend: P sums, S samples, W cases, V variables, X × Y grid.
"""

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparta_ray.metrics.metric import CaseMetric, Mean, RootMean

Floats = NDArray[np.floating[Any]]


class EnsembleMetric(CaseMetric):
    """A metric of several samples of the same field, with a score of each variable."""

    @abstractmethod
    def statistics(
        self, samples_SWVXY: Floats, truth_WVXY: Floats, area_WVXY: Floats
    ) -> NDArray[np.float64]:
        """Return the sums that the score is made of, shape (P, W, V).

        Args:
            samples_SWVXY: Samples, S at least 2, in physical units.
            truth_WVXY: Finite, whatever it is where the area is 0.
            area_WVXY: Relative area of each grid cell; 0 where the truth is missing.
        """


class CRPS(Mean, EnsembleMetric):
    """Area-weighted mean of the fair continuous ranked probability score; see `fair_crps`."""

    key = "crps"
    label = "CRPS"
    better = "lower"
    units = None
    meaning = (
        "Continuous ranked probability score of the samples, fair to their small number; the "
        "absolute error if all samples are alike."
    )

    def statistics(
        self, samples_SWVXY: Floats, truth_WVXY: Floats, area_WVXY: Floats
    ) -> NDArray[np.float64]:
        """See `EnsembleMetric.statistics`."""
        score = fair_crps(samples_SWVXY, truth_WVXY)
        return np.stack([(part * area_WVXY).sum((2, 3)) for part in (score, np.float64(1))])


class SpreadSkillRatio(RootMean, EnsembleMetric):
    """Spread of the samples over the error of their mean (Fortin et al., 2014).

    The square root of (S + 1) / S times the mean variance of the samples, over the RMSE of their
    mean: 1 for a reliable ensemble of any size.
    """

    key = "spread-skill ratio"
    label = "Spread-skill ratio"
    better = None
    meaning = (
        "Spread of the samples over the error of their mean: 1 where the spread tells the error, "
        "less where samples are too much alike."
    )

    def statistics(
        self, samples_SWVXY: Floats, truth_WVXY: Floats, area_WVXY: Floats
    ) -> NDArray[np.float64]:
        """See `EnsembleMetric.statistics`."""
        count = len(samples_SWVXY)
        variance = samples_SWVXY.var(axis=0, ddof=1, dtype=np.float64) * (count + 1) / count
        squared = (samples_SWVXY.mean(axis=0, dtype=np.float64) - truth_WVXY) ** 2
        return np.stack([(part * area_WVXY).sum((2, 3)) for part in (variance, squared)])

    def why_undefined(self, sums_P: Floats) -> str:
        """See `CaseMetric.why_undefined`."""
        if sums_P[1] == 0:
            return "the mean of the samples equals the truth wherever there is one"
        return super().why_undefined(sums_P)


ENSEMBLE_METRICS: tuple[EnsembleMetric, ...] = (CRPS(), SpreadSkillRatio())
"""Every metric of ensembles, in the order in which tables show them."""


def fair_crps(samples: Floats, truth: Floats) -> NDArray[np.float64]:
    """Return the continuous ranked probability score, fair to a finite ensemble (Ferro, 2014).

    CRPS = mean over i of |x_i - y| - Σ over i < j of |x_i - x_j| / (S (S - 1)): on average that
    of infinitely many samples from the same distribution. It may be negative for one truth.

    Args:
        samples: Shape (S, ...), S at least 2.
        truth: Shape (...).

    Raises:
        ValueError: There are fewer than 2 samples.

    Example:
        Samples 0 and 2 of a truth of 1 score 1 - 2 / 2 = 0.
    """
    count = len(samples)
    if count < 2:
        raise ValueError(f"CRPS needs at least 2 samples, not {count}")
    ordered = np.sort(samples.astype(np.float64), axis=0)
    rank = 2 * np.arange(count) - count + 1
    apart = np.tensordot(rank, ordered, axes=1)  # Σ over i < j of x_j - x_i, once sorted
    error = np.abs(ordered - truth).mean(axis=0)
    return np.asarray(error - apart / (count * (count - 1)))
