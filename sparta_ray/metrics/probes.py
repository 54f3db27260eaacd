"""Probes: what simple models read off frozen embeddings, and how days fall into clusters.

Legend: T days, D components.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import normalized_mutual_info_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]

PENALTIES = tuple(10.0**power for power in range(-4, 5))
"""Ridge penalties tried, relative to the number of training days."""

KMEANS_STARTS = 10
"""Starts of k-means, of which the tightest clustering counts."""


def linear_probe(
    train: tuple[Floats, Labels], validation: tuple[Floats, Labels], h_TD: Floats
) -> Labels:
    """Return the classes of days, read off their embeddings by ridge regression.

    Components are standardised. The penalty is the one with the highest accuracy on the validation
    days; of equals, the strongest.

    Args:
        train: Embeddings (days, D) and classes (days,).
        validation: Likewise.
        h_TD: Embeddings of the days to classify.

    Raises:
        ValueError: The training days hold a single class.
    """
    h, labels = _with_classes(*train)

    def fitted(penalty: float) -> Pipeline:
        ridge = RidgeClassifier(alpha=penalty * len(h))
        return make_pipeline(StandardScaler(), ridge).fit(h, labels)

    validation_h = validation[0].astype(np.float64)
    models = [fitted(penalty) for penalty in reversed(PENALTIES)]
    best = max(models, key=lambda model: float(model.score(validation_h, validation[1])))
    return np.asarray(best.predict(h_TD.astype(np.float64)), dtype=np.int64)


def knn_probe(train: tuple[Floats, Labels], h_TD: Floats, neighbours: int = 20) -> Labels:
    """Return the commonest class of the training days with the largest cosine to each day.

    The training mean is subtracted from all embeddings first. Of equally common classes the first
    is chosen.

    Raises:
        ValueError: The training days hold a single class, or are fewer than the neighbours.
    """
    h, labels = _with_classes(*train)
    if len(h) < neighbours:
        raise ValueError(f"{len(h)} training days cannot give {neighbours} neighbours")
    mean = h.mean(axis=0)
    model = KNeighborsClassifier(neighbours, metric="cosine").fit(h - mean, labels)
    return np.asarray(model.predict(h_TD.astype(np.float64) - mean), dtype=np.int64)


def cluster_agreement(
    h_TD: Floats, labels: Labels, clusters: int, seed: int, starts: int = KMEANS_STARTS
) -> float:
    """Return the normalised mutual information of k-means clusters and given classes.

    k-means starts from k-means++ centres `starts` times; the tightest clustering counts.

    Raises:
        ValueError: There is a single class or cluster, or there are fewer days than clusters.
    """
    if len(h_TD) < clusters:
        raise ValueError(f"{len(h_TD)} days cannot make {clusters} clusters")
    random_state = np.random.RandomState(np.random.PCG64(seed))
    kmeans = KMeans(clusters, n_init=starts, random_state=random_state)
    with threadpool_limits(1):  # its threads wait for each other far longer than they compute
        assigned = kmeans.fit_predict(h_TD.astype(np.float64))
    return normalised_mutual_information(assigned, labels)


def block_agreement(h_TD: Floats, clusters: int, seed: int) -> float:
    """Return the normalised mutual information of k-means clusters and blocks of consecutive days.

    As published, a block has as many whole days as go into the days by the number of clusters, and
    what is left makes further blocks: 256 days in 12 clusters are 12 blocks of 21 days and one of
    4. k-means starts once.

    Raises:
        ValueError: There is a single cluster, or there are fewer days than clusters.
    """
    blocks_T = np.arange(len(h_TD)) // max(len(h_TD) // clusters, 1)
    return cluster_agreement(h_TD, blocks_T, clusters, seed, starts=1)


def normalised_mutual_information(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return I(A; B) over the mean of H(A) and H(B): 1 for equal partitions, 0 for unrelated.

    Raises:
        ValueError: A partition has a single part: it tells nothing.
    """
    if min(len(np.unique(first)), len(np.unique(second))) < 2:
        raise ValueError("a partition with a single part tells nothing")
    return float(normalized_mutual_info_score(first, second))


def _with_classes(h: Floats, labels: Labels) -> tuple[NDArray[np.float64], Labels]:
    if len(np.unique(labels)) < 2:
        raise ValueError(f"the {len(labels)} training days hold a single class")
    return h.astype(np.float64), labels
