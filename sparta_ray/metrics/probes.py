"""Probes: what simple readers find in frozen embeddings, and how days fall into clusters.

Legend: T days, D components, C classes, K clusters.
"""

from typing import Any

import numpy as np
import scipy.cluster.vq
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]

PENALTIES = tuple(10.0**power for power in range(-4, 5))
"""Ridge penalties tried, relative to the features' mean variance."""


def linear_probe(
    train: tuple[Floats, Labels], validation: tuple[Floats, Labels], h_TD: Floats
) -> Labels:
    """Return classes of days read off by ridge regression on one-hot labels.

    Components are standardised; the penalty is the one that is right most often on validation
    days, the strongest of equals.

    Args:
        train: Embeddings (days, D) and classes (days,).
        validation: Likewise.
        h_TD: Embeddings of the days to classify.

    Raises:
        ValueError: The training days hold a single class.
    """
    h, labels = _with_classes(*train)
    mean, scale = h.mean(axis=0), h.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    x = (h - mean) / scale
    u, singular, v = np.linalg.svd(x, full_matrices=False)
    target_TC = np.eye(int(labels.max()) + 1)[labels]
    centre_C = target_TC.mean(axis=0)

    def classify(penalty: float, days: Floats) -> Labels:
        shrink = singular / (singular**2 + penalty * len(x))
        weights_DC = v.T @ (shrink[:, None] * (u.T @ (target_TC - centre_C)))
        scores = (days.astype(np.float64) - mean) / scale @ weights_DC + centre_C
        return np.asarray(scores.argmax(axis=1), dtype=np.int64)

    def right(penalty: float) -> float:
        return float((classify(penalty, validation[0]) == validation[1]).mean())

    return classify(max(reversed(PENALTIES), key=right), h_TD)


def knn_probe(train: tuple[Floats, Labels], h_TD: Floats, neighbours: int = 20) -> Labels:
    """Return the commonest class of the training days with the largest cosine to each day.

    Embeddings are taken less the training mean. Of equally common classes the first is named.

    Raises:
        ValueError: The training days hold a single class, or are fewer than the neighbours.
    """
    h, labels = _with_classes(*train)
    if len(h) < neighbours:
        raise ValueError(f"{len(h)} training days cannot give {neighbours} neighbours")
    mean = h.mean(axis=0)
    cosine = _unit(h_TD.astype(np.float64) - mean) @ _unit(h - mean).T
    nearest = np.argsort(-cosine, axis=1, kind="stable")[:, :neighbours]
    votes = np.eye(int(labels.max()) + 1)[labels[nearest]].sum(axis=1)
    return np.asarray(votes.argmax(axis=1), dtype=np.int64)


def cluster_agreement(h_TD: Floats, labels: Labels, clusters: int, seed: int) -> float:
    """Return the normalised mutual information of k-means clusters and given classes.

    k-means starts from k-means++ centres ten times; the tightest clustering counts.

    Raises:
        ValueError: There is a single class, or fewer days than clusters.
    """
    if len(h_TD) < clusters:
        raise ValueError(f"{len(h_TD)} days cannot make {clusters} clusters")
    h, found = h_TD.astype(np.float64), []
    rng = np.random.default_rng(seed)
    for _ in range(10):
        centres, assigned = scipy.cluster.vq.kmeans2(
            h, clusters, minit="++", missing="warn", rng=rng
        )
        found.append((float(((h - centres[assigned]) ** 2).sum()), assigned))
    return normalised_mutual_information(min(found, key=lambda pair: pair[0])[1], labels)


def normalised_mutual_information(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return I(A; B) over the mean of H(A) and H(B): 1 for equal partitions, 0 for unrelated.

    Raises:
        ValueError: A partition has a single part: it tells nothing.
    """
    _, a = np.unique(first, return_inverse=True)
    _, b = np.unique(second, return_inverse=True)
    if min(a.max(), b.max()) == 0:
        raise ValueError("a partition with a single part tells nothing")
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1 / len(a))
    entropies = [_entropy(joint.sum(axis=axis)) for axis in (0, 1)]
    shared = sum(entropies) - _entropy(joint.ravel())
    return float(shared / np.mean(entropies))


def _entropy(share: Floats) -> float:
    known = share[share > 0]
    return float(-(known * np.log(known)).sum())


def _with_classes(h: Floats, labels: Labels) -> tuple[NDArray[np.float64], Labels]:
    if len(np.unique(labels)) < 2:
        raise ValueError(f"the {len(labels)} training days hold a single class")
    return h.astype(np.float64), labels


def _unit(h: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(h, axis=1, keepdims=True)
    return np.asarray(h / np.where(length > 0, length, 1.0))
