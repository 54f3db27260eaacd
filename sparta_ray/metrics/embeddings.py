"""Metrics of embeddings, a class each: of masked days, of pairs of views, of generated ones.

Legend: T days, D components.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sparta_ray.metrics.latent_space import cosines
from sparta_ray.metrics.metric import (
    Floats,
    Mean,
    Metric,
    RootMean,
    StandardDeviation,
    mean_of_cases,
)


class MaskAgreement(Mean):
    """Cosine of the embeddings of a masked day and of the whole day, minus the whole days' mean."""

    key = "mask agreement"
    label = "Mask agreement"
    better = "higher"
    meaning = (
        "Cosine of the embeddings of a masked and the whole {step}, minus the mean of whole "
        "{steps}."
    )

    def statistics(self, masked_TD: Floats, whole_TD: Floats) -> NDArray[np.float64]:
        """Return the sums that the score is made of, shape (2, T)."""
        centre_D = whole_TD.mean(axis=0)
        return mean_of_cases(cosines(masked_TD - centre_D, whole_TD - centre_D))


class PositiveCosine(Mean):
    """Mean cosine of two augmented views of the same day."""

    key = "positive cosine"
    label = "Mean positive cosine"
    better = "higher"
    meaning = "Of two augmented views of the same {step} (Table 3.1)."

    def statistics(self, first_TD: Floats, second_TD: Floats) -> NDArray[np.float64]:
        """Return the sums that the score is made of, shape (2, T)."""
        return mean_of_cases(np.diagonal(_cosines_of_views(first_TD, second_TD)))


class NegativeCosine(Mean):
    """Mean cosine of a day's first view and the second views of all other days."""

    key = "negative cosine"
    label = "Mean negative cosine"
    better = "lower"
    meaning = "Of augmented views of different {steps} (Table 3.1)."

    def statistics(self, first_TD: Floats, second_TD: Floats) -> NDArray[np.float64]:
        """Return the sums that the score is made of, shape (2, T)."""
        cosine_TT = _cosines_of_views(first_TD, second_TD)
        others_T = cosine_TT.sum(axis=1) - np.diagonal(cosine_TT)
        return mean_of_cases(others_T / (len(cosine_TT) - 1))


class LatentDensity(Mean):
    """Density of real embeddings around generated ones (Eq. 18); see `latent_space.densities`."""

    key = "latent density"
    label = "Latent density"
    better = "higher"
    meaning = (
        "How close the mean of each day's generated embeddings lies to real ones (Eq. 18), as "
        "published."
    )


class Realism(Mean):
    """Realism of generated embeddings (Eq. 19); see `latent_space.realisms`."""

    key = "realism"
    label = "Realism"
    better = "higher"
    meaning = (
        "Whether the mean of each day's generated embeddings lies on the real ones' manifold "
        "(Eq. 19), as published."
    )


class LatentDensityAmongTrainingDays(LatentDensity):
    """Latent density among the embeddings of the tasks' training days."""

    key = "latent density, training days"
    label = "Latent density (training {steps})"
    meaning = (
        "Against the tasks' training {steps}, encoded as the models see them, without the targets."
    )


class RealismAmongTrainingDays(Realism):
    """Realism among the embeddings of the tasks' training days."""

    key = "realism, training days"
    label = "Realism (training {steps})"
    meaning = "Against the same other real set."


class LatentDensityOfSamples(LatentDensity):
    """Latent density of every generated embedding by itself, not of a day's mean."""

    key = "latent density, single samples"
    label = "Latent density (single samples)"
    meaning = "Of every sample by itself, the mean over samples; noise that the mean hides counts."


class RealismOfSamples(Realism):
    """Realism of every generated embedding by itself, not of a day's mean."""

    key = "realism, single samples"
    label = "Realism (single samples)"
    meaning = "Of every sample by itself, the mean over samples."


class LatentDensityOfSamplesAmongTrainingDays(LatentDensity):
    """Latent density of single samples among the embeddings of the tasks' training days."""

    key = "latent density, single samples, training days"
    label = "Latent density (single samples, training days)"
    meaning = "Of every sample by itself, against the tasks' training days."


class RealismOfSamplesAmongTrainingDays(Realism):
    """Realism of single samples among the embeddings of the tasks' training days."""

    key = "realism, single samples, training days"
    label = "Realism (single samples, training days)"
    meaning = "Of every sample by itself, against the tasks' training days."


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
    meaning = "Over {steps}, mean of the components (Table 3.1)."


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


EMBEDDING_METRICS: Sequence[Metric] = (
    MaskAgreement(),
    PositiveCosine(),
    NegativeCosine(),
    LatentDensity(),
    Realism(),
    LatentDensityAmongTrainingDays(),
    RealismAmongTrainingDays(),
    LatentDensityOfSamples(),
    RealismOfSamples(),
    LatentDensityOfSamplesAmongTrainingDays(),
    RealismOfSamplesAmongTrainingDays(),
    GeneratedSpread(),
    SpreadPerCondition(),
    EmbeddingVariance(),
    TotalVariance(),
    EffectiveRank(),
)
"""Every metric of embeddings that does not follow them from day to day."""


def _cosines_of_views(first_TD: Floats, second_TD: Floats) -> NDArray[np.float64]:
    """Return the cosine of each day's first view and each day's second view, shape (T, T)."""
    first, second = (h / np.linalg.norm(h, axis=1, keepdims=True) for h in (first_TD, second_TD))
    return np.asarray(first.astype(np.float64) @ second.T)
