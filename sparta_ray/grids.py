"""Latitude-longitude grids: cell edges and the share of the sphere each cell covers."""

import numpy as np
from numpy.typing import NDArray


def latitude_edges(latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the n + 1 edges of cells centred on `latitude`, closed at the poles.

    Edges lie half-way between centres; the outermost are the poles.

    Args:
        latitude: Centres in degrees north, ascending or descending, shape (n,).
    """
    inner = (latitude[1:] + latitude[:-1]) / 2
    first, last = (-90.0, 90.0) if latitude[-1] > latitude[0] else (90.0, -90.0)
    return np.concatenate([[first], inner, [last]])


def area_weights(latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each latitude's share of the sphere's area, normalised to mean 1, shape (n,).

    The area between two latitudes is proportional to the difference of their sines, which also
    holds for cells centred on a pole, where the cosine would give zero.
    """
    area = np.abs(np.diff(np.sin(np.deg2rad(latitude_edges(latitude)))))
    weights: NDArray[np.float64] = area / area.mean()
    return weights
