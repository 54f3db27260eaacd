"""t-SNE in its exact form (van der Maaten and Hinton, 2008), for a few hundred points.

Legend: N points, D components.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

EXAGGERATED, MOMENTUM = 250, (0.5, 0.8)


def tsne(h_ND: Floats, seed: int, perplexity: float = 15.0, steps: int = 750) -> Floats:
    """Return points of the plane whose neighbours are those of the embeddings, shape (N, 2).

    Args:
        h_ND: Embeddings; at least four.
        seed: Of the points' first places.
        perplexity: About how many neighbours a point has; at most a third of the others.
        steps: Gradient steps; the first 250 draw neighbours together fourfold.
    """
    count = len(h_ND)
    if count < 4:
        raise ValueError(f"t-SNE needs at least 4 points, not {count}")
    p = _neighbour_probabilities(_squared_distances(h_ND), min(perplexity, (count - 1) / 3))
    y = np.random.default_rng(seed).normal(scale=1e-4, size=(count, 2))
    velocity, gain = np.zeros_like(y), np.ones_like(y)
    rate = max(count / 12, 50.0)
    for step in range(steps):
        early = step < EXAGGERATED
        slope = _gradient(p * 4 if early else p, y)
        gain = np.where(np.sign(slope) == np.sign(velocity), gain * 0.8, gain + 0.2).clip(0.01)
        velocity = MOMENTUM[not early] * velocity - rate * gain * slope
        y = y + velocity
        y -= y.mean(axis=0)
    return np.asarray(y)


def _gradient(p: Floats, y: Floats) -> Floats:
    closeness = 1 / (1 + _squared_distances(y))
    np.fill_diagonal(closeness, 0)
    pull = (p - closeness / closeness.sum()) * closeness
    return np.asarray(4 * (pull.sum(axis=1)[:, None] * y - pull @ y))


def _neighbour_probabilities(squared: Floats, perplexity: float) -> Floats:
    """Return symmetric probabilities of neighbours, every point's entropy log(perplexity)."""
    count = len(squared)
    p = np.zeros((count, count))
    for i in range(count):
        others = np.arange(count) != i
        p[i, others] = _row(squared[i, others], np.log(perplexity))
    return np.asarray((p + p.T) / (2 * count))


def _row(squared: Floats, entropy: float) -> Floats:
    """Return a row's probabilities; the width of its Gaussian is found by bisection."""
    low, high = 0.0, np.inf
    precision = 1 / max(float(squared.mean()), 1e-300)
    share = np.full(len(squared), 1 / len(squared))
    for _ in range(64):
        weight = np.exp(-(squared - squared.min()) * precision)
        share = weight / weight.sum()
        known = share[share > 0]
        if -(known * np.log(known)).sum() > entropy:
            low = precision
            precision = precision * 2 if high == np.inf else (low + high) / 2
        else:
            high = precision
            precision = (low + high) / 2
    return share


def _squared_distances(x: Floats) -> Floats:
    x = x.astype(np.float64) - x.mean(axis=0)
    squares = (x**2).sum(axis=1)
    return np.asarray(np.maximum(squares[:, None] + squares - 2 * x @ x.T, 0))
