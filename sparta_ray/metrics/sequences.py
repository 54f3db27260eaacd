"""Metrics of the embeddings of consecutive days, a class each: how smoothly they move.

Legend: P sums, T days, D components.
"""

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from sparta_ray.metrics.latent_space import (
    cosines,
    cycle_distances,
    temporal_distances,
    total_variance,
)
from sparta_ray.metrics.metric import CaseMetric, Floats, Mean, mean_of_cases


class SequenceMetric(CaseMetric):
    """A metric of the embeddings of consecutive days.

    Attributes:
        left_out: How many of the first and of the last days have no case of their own.
    """

    left_out: tuple[int, int] = (1, 0)

    @abstractmethod
    def statistics(self, h_TD: Floats) -> NDArray[np.float64]:
        """Return the sums that the score is made of, shape (P, cases)."""

    def days(self, days_T: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the days that are cases, out of all T."""
        first, last = self.left_out
        return days_T[first : len(days_T) - last]


class TemporalDistance(Mean, SequenceMetric):
    """‖h_t - h_{t-1}‖² of consecutive days."""

    key = "temporal distance"
    label = "Temporal distance"
    better = None
    meaning = "‖h(t) − h(t−1)‖² over consecutive {steps}; grows with the embedding's variance."

    def statistics(self, h_TD: Floats) -> NDArray[np.float64]:
        """See `SequenceMetric.statistics`."""
        return mean_of_cases(temporal_distances(h_TD))


class CycleDistance(Mean, SequenceMetric):
    """‖h_{t-1} - 2 h_t + h_{t+1}‖² of three consecutive days."""

    key = "cycle distance"
    label = "Cycle distance"
    better = None
    meaning = "‖h(t−1) − 2 h(t) + h(t+1)‖²; grows with the embedding's variance."
    left_out = (1, 1)

    def statistics(self, h_TD: Floats) -> NDArray[np.float64]:
        """See `SequenceMetric.statistics`."""
        return mean_of_cases(cycle_distances(h_TD))


class RelativeTemporalDistance(Mean, SequenceMetric):
    """The temporal distance divided by the total variance."""

    key = "relative temporal distance"
    label = "Relative temporal distance"
    better = "lower"
    meaning = "Divided by the total variance, so that scale drops out; 2 for unrelated {steps}."

    def statistics(self, h_TD: Floats) -> NDArray[np.float64]:
        """See `SequenceMetric.statistics`."""
        return np.stack([temporal_distances(h_TD), _share_of_variance(h_TD, self.left_out)])


class RelativeCycleDistance(Mean, SequenceMetric):
    """The cycle distance divided by the total variance."""

    key = "relative cycle distance"
    label = "Relative cycle distance"
    better = "lower"
    meaning = "Divided by the total variance, so that scale drops out; 6 for unrelated {steps}."
    left_out = (1, 1)

    def statistics(self, h_TD: Floats) -> NDArray[np.float64]:
        """See `SequenceMetric.statistics`."""
        return np.stack([cycle_distances(h_TD), _share_of_variance(h_TD, self.left_out)])


class AdjacentCosine(Mean, SequenceMetric):
    """Cosine of consecutive days' embeddings."""

    key = "adjacent cosine"
    label = "Adjacent cosine"
    better = None
    meaning = "Cosine of consecutive {steps}' embeddings, as in the published runs."

    def statistics(self, h_TD: Floats) -> NDArray[np.float64]:
        """See `SequenceMetric.statistics`."""
        return mean_of_cases(cosines(h_TD[1:], h_TD[:-1]))


class CentredAdjacentCosine(Mean, SequenceMetric):
    """Cosine of consecutive days' embeddings minus their mean."""

    key = "centred adjacent cosine"
    label = "Centred adjacent cosine"
    better = "higher"
    meaning = "Cosine of consecutive {steps}' embeddings minus their mean: 0 for unrelated {steps}."

    def statistics(self, h_TD: Floats) -> NDArray[np.float64]:
        """See `SequenceMetric.statistics`."""
        centred_TD = _centred(h_TD)
        return mean_of_cases(cosines(centred_TD[1:], centred_TD[:-1]))


class LagOneAutocorrelation(Mean, SequenceMetric):
    """Autocorrelation from one day to the next, pooled over components."""

    key = "lag-1 autocorrelation"
    label = "Lag-1 autocorrelation"
    better = "higher"
    meaning = "Of each component over consecutive {steps}, weighted by its variance."

    def statistics(self, h_TD: Floats) -> NDArray[np.float64]:
        """See `SequenceMetric.statistics`."""
        centred_TD = _centred(h_TD)
        return np.stack(
            [(centred_TD[1:] * centred_TD[:-1]).sum(axis=1), (centred_TD[1:] ** 2).sum(axis=1)]
        )


SEQUENCE_METRICS: tuple[SequenceMetric, ...] = (
    TemporalDistance(),
    RelativeTemporalDistance(),
    CycleDistance(),
    RelativeCycleDistance(),
    AdjacentCosine(),
    CentredAdjacentCosine(),
    LagOneAutocorrelation(),
)
"""Every metric of consecutive days' embeddings, in the order in which tables show them."""


def why_not_smooth(h_TD: Floats) -> str:
    """Return why the metrics have no value for some embeddings; empty if they have one."""
    if len(h_TD) < 3:
        return f"needs at least 3 consecutive days, not {len(h_TD)}"
    if not total_variance(h_TD) > 0:
        return f"the embeddings of all {len(h_TD)} days are equal (collapsed)"
    return ""


def _centred(h_TD: Floats) -> NDArray[np.float64]:
    return np.asarray(h_TD.astype(np.float64) - h_TD.mean(axis=0, dtype=np.float64))


def _share_of_variance(h_TD: Floats, left_out: tuple[int, int]) -> NDArray[np.float64]:
    """Return what each case adds to the variance, scaled so that their mean is that of all days."""
    variance_T = (_centred(h_TD) ** 2).sum(axis=1)
    cases = variance_T[left_out[0] : len(variance_T) - left_out[1]]
    return np.asarray(cases * (variance_T.mean() / cases.mean()))
