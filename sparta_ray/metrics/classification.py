"""Metrics of telling the seasons apart, a class each."""

from collections.abc import Sequence

from sparta_ray.metrics.metric import Mean, Metric

SEASON_CLUSTERS = (4, 8, 12, 16, 24, 32)
"""Numbers of k-means clusters that are compared with the seasons."""

BLOCK_CLUSTERS = SEASON_CLUSTERS
"""Numbers of k-means clusters that are compared with blocks of days, as in the published runs."""


class CrossEntropy(Mean):
    """Mean of -log of the probability given to the right season."""

    key = "cross-entropy"
    label = "Cross-entropy"
    better = "lower"
    meaning = "Mean of -log of the probability given to the right season."


class Accuracy(Mean):
    """Share of days put in the right season."""

    key = "accuracy"
    label = "Accuracy"
    better = "higher"
    meaning = "Share of {steps} put in the right season."


class LinearProbeAccuracy(Mean):
    """Share of days put in the right season by `probes.linear_probe`."""

    key = "linear probe accuracy"
    label = "Linear probe"
    better = "higher"
    meaning = "Share of {steps} put in the right season by ridge regression on the embedding."


class NeighbourProbeAccuracy(Mean):
    """Share of days put in the right season by `probes.knn_probe`."""

    key = "knn probe accuracy"
    label = "kNN probe"
    better = "higher"
    meaning = "Share of {steps} put in the right season by the 20 most similar training {steps}."


class SeasonAgreement(Metric):
    """Normalised mutual information of seasons and clusters; see `probes.cluster_agreement`.

    Attributes:
        clusters: How many clusters.
    """

    better = "higher"
    meaning = (
        "Normalised mutual information of seasons and k clusters of {steps} (k-means); with k "
        "above 4 even perfect clusters stay below 1."
    )

    def __init__(self, clusters: int):
        self.clusters = clusters
        self.key, self.label = f"season nmi k={clusters}", f"NMI k={clusters}"


class BlockAgreement(Metric):
    """Normalised mutual information of blocks and clusters; see `probes.block_agreement`.

    Attributes:
        clusters: How many clusters.
    """

    better = "higher"
    meaning = (
        "Normalised mutual information of k blocks of consecutive days and k clusters of days "
        "(k-means), as in the published runs."
    )

    def __init__(self, clusters: int):
        self.clusters = clusters
        self.key, self.label = f"block nmi k={clusters}", f"NMI of blocks k={clusters}"


CLASSIFICATION_METRICS: Sequence[Metric] = (
    CrossEntropy(),
    Accuracy(),
    LinearProbeAccuracy(),
    NeighbourProbeAccuracy(),
    *map(SeasonAgreement, SEASON_CLUSTERS),
    *map(BlockAgreement, BLOCK_CLUSTERS),
)
"""Every metric of telling the seasons apart."""
