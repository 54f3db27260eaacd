"""The geometry of the embedding space: distances in time, generated samples, rank, components.

Shapes: T days, D components, N generated and M real embeddings, C conditions, S samples each.
Everything is computed in float64.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

ROWS_AT_ONCE = 1024


def temporal_distances(h_TD: Floats) -> NDArray[np.float64]:
    """Return ‖h_t - h_{t-1}‖² for consecutive days, shape (T - 1,)."""
    return _row_norms(np.diff(h_TD.astype(np.float64), axis=0))


def cycle_distances(h_TD: Floats) -> NDArray[np.float64]:
    """Return ‖h_{t-1} - 2 h_t + h_{t+1}‖² for consecutive days, shape (T - 2,)."""
    return _row_norms(np.diff(h_TD.astype(np.float64), n=2, axis=0))


def total_variance(h_TD: Floats) -> float:
    """Return the sum over components of the variance over days."""
    return float(h_TD.var(axis=0, dtype=np.float64).sum())


def densities(generated_ND: Floats, real_MD: Floats, sigma: float = 20.0) -> NDArray[np.float64]:
    """Return each generated embedding's latent density among real ones (Eq. 18), shape (N,).

    D = mean over i of exp(-‖h_g - h_i‖² / (2 σ²)), at most 1, higher is denser.
    """
    found = [
        np.exp(-squared / (2 * sigma**2)).mean(axis=1)
        for _, squared in _squared_distances(generated_ND, real_MD)
    ]
    return np.concatenate(found)


def realisms(generated_ND: Floats, real_MD: Floats, k: int = 5) -> NDArray[np.float64]:
    """Return each generated embedding's realism (Eq. 19), higher is closer to the real, (N,).

    R(h_g) = max over i of ‖h_i - NN_k(h_i)‖ / ‖h_g - h_i‖, with NN_k the k-th nearest other real
    embedding; infinite where a generated embedding is a copy of a real one.
    """
    if len(real_MD) <= k:
        raise ValueError(f"realism with k={k} needs more than {k} real embeddings")
    radius2_M = _neighbour_distances(real_MD, k)
    found = []
    for _, squared in _squared_distances(generated_ND, real_MD):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(squared > 0, radius2_M / squared, np.inf)
        found.append(np.sqrt(ratio.max(axis=1)))
    return np.concatenate(found)


def cosines(a_ND: Floats, b_ND: Floats) -> NDArray[np.float64]:
    """Return the cosine of each pair of rows, shape (N,); 0 where one has no length."""
    a, b = a_ND.astype(np.float64), b_ND.astype(np.float64)
    lengths = np.sqrt(_row_norms(a) * _row_norms(b))
    return np.asarray(np.einsum("nd,nd->n", a, b) / np.where(lengths > 0, lengths, 1.0))


def effective_rank(h_TD: Floats) -> float:
    """Return exp of the entropy of the normalised singular values of the centred embeddings.

    From 1 (all days on one line) to D (equal spread in every direction).
    """
    singular = np.linalg.svd(_centred(h_TD), compute_uv=False)
    if not singular.sum() > 0:
        raise ValueError(f"the embeddings of all {len(h_TD)} days are equal (collapsed)")
    share = singular / singular.sum()
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def principal_components(
    h_TD: Floats, count: int = 2
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the leading principal components and their shares of the variance.

    The sign is fixed: each component's largest loading is positive.

    Returns:
        Components, shape (T, count), and shares in 0..1, shape (count,).
    """
    u_TK, singular, v_KD = np.linalg.svd(_centred(h_TD), full_matrices=False)
    sign_K = np.sign(v_KD[np.arange(len(v_KD)), np.abs(v_KD).argmax(axis=1)])
    share = singular**2 / (singular**2).sum()
    return (u_TK * singular * sign_K)[:, :count], share[:count]


def _centred(h_TD: Floats) -> NDArray[np.float64]:
    h = h_TD.astype(np.float64)
    return np.asarray(h - h.mean(axis=0), dtype=np.float64)


def _row_norms(h_ND: Floats) -> NDArray[np.float64]:
    """Return the squared length of each row, shape (N,)."""
    return np.asarray(np.einsum("nd,nd->n", h_ND, h_ND), dtype=np.float64)


def _squared_distances(a_ND: Floats, b_MD: Floats) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yield slices of rows of `a` and their squared distances to all of `b`, shape (rows, M)."""
    centre = b_MD.mean(axis=0, dtype=np.float64)  # small numbers: less is lost to cancellation
    b = b_MD - centre
    b2_M = _row_norms(b)
    for start in range(0, len(a_ND), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        a = a_ND[rows] - centre
        yield rows, np.maximum(_row_norms(a)[:, None] + b2_M - 2 * a @ b.T, 0)


def _neighbour_distances(real_MD: Floats, k: int) -> NDArray[np.float64]:
    """Return each embedding's squared distance to its k-th nearest other one, shape (M,)."""
    nearest = []
    for rows, squared in _squared_distances(real_MD, real_MD):
        own = np.arange(len(squared))
        squared[own, rows.start + own] = np.inf
        nearest.append(np.partition(squared, k - 1, axis=1)[:, k - 1])
    return np.concatenate(nearest)
