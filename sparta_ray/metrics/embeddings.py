"""Metrics of embeddings, a class each: of consecutive days, of pairs of views, of generated ones.

Legend: P sums, T days, D components.
"""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sparta_ray.metrics.latent_space import cosines, cycle_distances, temporal_distances
from sparta_ray.metrics.metric import CaseMetric, Floats, Mean, Metric, RootMean, StandardDeviation


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
    meaning = "‖h(t) − h(t−1)‖² over consecutive days; grows with the embedding's variance."

    def statistics(self, h_TD: Floats) -> NDArray[np.float64]:
        """See `SequenceMetric.statistics`."""
        return _one_value_a_case(temporal_distances(h_TD))


class CycleDistance(Mean, SequenceMetric):
    """‖h_{t-1} - 2 h_t + h_{t+1}‖² of three consecutive days."""

    key = "cycle distance"
    label = "Cycle distance"
    better = None
    meaning = "‖h(t−1) − 2 h(t) + h(t+1)‖²; grows with the embedding's variance."
    left_out = (1, 1)

    def statistics(self, h_TD: Floats) -> NDArray[np.float64]:
        """See `SequenceMetric.statistics`."""
        return _one_value_a_case(cycle_distances(h_TD))


class RelativeTemporalDistance(Mean, SequenceMetric):
    """The temporal distance divided by the total variance."""

    key = "relative temporal distance"
    label = "Relative temporal distance"
    better = "lower"
    meaning = "Divided by the total variance, so that scale drops out; 2 for unrelated days."

    def statistics(self, h_TD: Floats) -> NDArray[np.float64]:
        """See `SequenceMetric.statistics`."""
        return np.stack([temporal_distances(h_TD), _share_of_variance(h_TD, self.left_out)])


class RelativeCycleDistance(Mean, SequenceMetric):
    """The cycle distance divided by the total variance."""

    key = "relative cycle distance"
    label = "Relative cycle distance"
    better = "lower"
    meaning = "Divided by the total variance, so that scale drops out; 6 for unrelated days."
    left_out = (1, 1)

    def statistics(self, h_TD: Floats) -> NDArray[np.float64]:
        """See `SequenceMetric.statistics`."""
        return np.stack([cycle_distances(h_TD), _share_of_variance(h_TD, self.left_out)])


class AdjacentCosine(Mean, SequenceMetric):
    """Cosine of consecutive days' embeddings."""

    key = "adjacent cosine"
    label = "Adjacent cosine"
    better = None
    meaning = "Cosine of consecutive days' embeddings, as in the published runs."

    def statistics(self, h_TD: Floats) -> NDArray[np.float64]:
        """See `SequenceMetric.statistics`."""
        return _one_value_a_case(cosines(h_TD[1:], h_TD[:-1]))


class CentredAdjacentCosine(Mean, SequenceMetric):
    """Cosine of consecutive days' embeddings minus their mean."""

    key = "centred adjacent cosine"
    label = "Centred adjacent cosine"
    better = "higher"
    meaning = "Cosine of consecutive days' embeddings minus their mean: 0 for unrelated days."

    def statistics(self, h_TD: Floats) -> NDArray[np.float64]:
        """See `SequenceMetric.statistics`."""
        centred_TD = _centred(h_TD)
        return _one_value_a_case(cosines(centred_TD[1:], centred_TD[:-1]))


class LagOneAutocorrelation(Mean, SequenceMetric):
    """Autocorrelation from one day to the next, pooled over components."""

    key = "lag-1 autocorrelation"
    label = "Lag-1 autocorrelation"
    better = "higher"
    meaning = "Of each component over consecutive days, weighted by its variance."

    def statistics(self, h_TD: Floats) -> NDArray[np.float64]:
        """See `SequenceMetric.statistics`."""
        centred_TD = _centred(h_TD)
        return np.stack(
            [(centred_TD[1:] * centred_TD[:-1]).sum(axis=1), (centred_TD[1:] ** 2).sum(axis=1)]
        )


class MaskAgreement(Mean):
    """Cosine of the embeddings of a masked day and of the whole day, minus the whole days' mean."""

    key = "mask agreement"
    label = "Mask agreement"
    better = "higher"
    meaning = (
        "Cosine of the embeddings of a masked and the whole day, minus the mean of whole days."
    )

    def statistics(self, masked_TD: Floats, whole_TD: Floats) -> NDArray[np.float64]:
        """Return the sums that the score is made of, shape (2, T)."""
        centre_D = whole_TD.mean(axis=0)
        return _one_value_a_case(cosines(masked_TD - centre_D, whole_TD - centre_D))


class PositiveCosine(Mean):
    """Mean cosine of two augmented views of the same day."""

    key = "positive cosine"
    label = "Mean positive cosine"
    better = "higher"
    meaning = "Of two augmented views of the same day (Table 3.1)."

    def statistics(self, first_TD: Floats, second_TD: Floats) -> NDArray[np.float64]:
        """Return the sums that the score is made of, shape (2, T)."""
        return _one_value_a_case(np.diagonal(_cosines_of_views(first_TD, second_TD)))


class NegativeCosine(Mean):
    """Mean cosine of a day's first view and the second views of all other days."""

    key = "negative cosine"
    label = "Mean negative cosine"
    better = "lower"
    meaning = "Of augmented views of different days (Table 3.1)."

    def statistics(self, first_TD: Floats, second_TD: Floats) -> NDArray[np.float64]:
        """Return the sums that the score is made of, shape (2, T)."""
        cosine_TT = _cosines_of_views(first_TD, second_TD)
        others_T = cosine_TT.sum(axis=1) - np.diagonal(cosine_TT)
        return _one_value_a_case(others_T / (len(cosine_TT) - 1))


class LatentDensity(Mean):
    """Density of real embeddings around generated ones (Eq. 18); see `latent_space.densities`."""

    key = "latent density"
    label = "Latent density"
    better = "higher"
    meaning = "How close generated embeddings lie to real ones (Eq. 18)."


class Realism(Mean):
    """Realism of generated embeddings (Eq. 19); see `latent_space.realisms`."""

    key = "realism"
    label = "Realism"
    better = "higher"
    meaning = "Whether generated embeddings lie on the real ones' manifold (Eq. 19)."


class LatentDensityAmongTrainingDays(LatentDensity):
    """Latent density among the embeddings of the tasks' training days."""

    key = "latent density, training days"
    label = "Latent density (training days)"
    meaning = (
        "Against the tasks' training days, encoded as the models see them, without the targets."
    )


class RealismAmongTrainingDays(Realism):
    """Realism among the embeddings of the tasks' training days."""

    key = "realism, training days"
    label = "Realism (training days)"
    meaning = "Against the same other real set."


class GeneratedSpread(StandardDeviation):
    """Standard deviation of all components of all generated embeddings."""

    key = "std"
    label = "Std dev"
    better = None
    meaning = (
        "Spread of all generated numbers, as published; it grows with the embedding's variance."
    )


class SpreadPerCondition(RootMean):
    """Standard deviation of the embeddings that are generated for one condition."""

    key = "std per condition"
    label = "Std dev per condition"
    better = None
    meaning = "Spread of the samples generated for one condition."


class EmbeddingVariance(Metric):
    """Variance over days, the mean of the components."""

    key = "embedding variance"
    label = "Mean variance of embeddings"
    better = None
    meaning = "Over days, mean of the components (Table 3.1)."


class TotalVariance(Metric):
    """Variance over days, summed over components."""

    key = "total variance"
    label = "Total variance"
    better = None
    meaning = "Summed over the embedding's components."


class EffectiveRank(Metric):
    """How many directions are in use; see `latent_space.effective_rank`."""

    key = "effective rank"
    label = "Effective rank"
    better = "higher"
    meaning = "How many directions of the embedding are in use."


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

EMBEDDING_METRICS: Sequence[Metric] = (
    *SEQUENCE_METRICS,
    MaskAgreement(),
    PositiveCosine(),
    NegativeCosine(),
    LatentDensity(),
    Realism(),
    LatentDensityAmongTrainingDays(),
    RealismAmongTrainingDays(),
    GeneratedSpread(),
    SpreadPerCondition(),
    EmbeddingVariance(),
    TotalVariance(),
    EffectiveRank(),
)
"""Every metric of embeddings."""


def _one_value_a_case(values: Floats) -> NDArray[np.float64]:
    """Return the sums of a plain mean over cases."""
    return np.stack([np.asarray(values, dtype=np.float64), np.ones(len(values))])


def _centred(h_TD: Floats) -> NDArray[np.float64]:
    return np.asarray(h_TD.astype(np.float64) - h_TD.mean(axis=0, dtype=np.float64))


def _share_of_variance(h_TD: Floats, left_out: tuple[int, int]) -> NDArray[np.float64]:
    """Return what each case adds to the variance, scaled so that their mean is that of all days."""
    variance_T = (_centred(h_TD) ** 2).sum(axis=1)
    cases = variance_T[left_out[0] : len(variance_T) - left_out[1]]
    return np.asarray(cases * (variance_T.mean() / cases.mean()))


def _cosines_of_views(first_TD: Floats, second_TD: Floats) -> NDArray[np.float64]:
    """Return the cosine of each day's first view and each day's second view, shape (T, T)."""
    first, second = (h / np.linalg.norm(h, axis=1, keepdims=True) for h in (first_TD, second_TD))
    return np.asarray(first.astype(np.float64) @ second.T)
