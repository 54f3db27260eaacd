"""Conservative regridding: each target cell gets the area mean of what it covers.

On latitude-longitude grids the overlap of two cells is a product of an overlap in longitude and
one in the sine of latitude, so the whole operator is two small sparse matrices,
``W_lon x W_latᵀ``. It is exact to first order and equals WeatherBench 2's algorithm.

Legend: N any leading axes, X, Y the source's and P, Q the target's longitudes and latitudes.
"""

from copy import copy

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.grids import Grid, Vector, latitude_edges, longitude_edges

Fields = NDArray[np.float32]
Order = NDArray[np.intp]

_SLIVER = 1e-6
"""Overlaps below this share of a target cell are rounding of the edges."""


class ConservativeRegridder:
    """Regrids fields from one global grid to another."""

    def __init__(self, source: Grid, target: Grid):
        """Compute the weights; equal grids need none.

        Raises:
            ConfigError: A grid does not cover the globe.
        """
        self.target = target
        self.is_identity = source.same_as(target)
        if self.is_identity:
            return
        _check_global(source, "source")
        _check_global(target, "target")
        self._weigh(
            sp.csr_array(_longitude_weights(source.longitude, target.longitude)),
            sp.csr_array(_latitude_weights(source.latitude, target.latitude)),
        )

    def _weigh(self, longitude_PX: sp.csr_array, latitude_QY: sp.csr_array) -> None:
        # The large product is in float32; the small one that follows makes up for it in float64.
        self._longitude_PX, self._latitude_QY = longitude_PX, latitude_QY
        self._large_longitude_PX = longitude_PX.astype(np.float32)
        self._large_latitude_QY = latitude_QY.astype(np.float32)

    def reordered(self, longitude_order: Order, latitude_order: Order) -> "ConservativeRegridder":
        """Return the operator for fields that are stored in another order than the source grid's.

        Args:
            longitude_order: Indices that would bring stored longitudes into that order, shape (X,).
            latitude_order: The same of latitudes, shape (Y,).
        """
        other = copy(self)
        if not self.is_identity:
            other._weigh(
                _with_columns(self._longitude_PX, longitude_order),
                _with_columns(self._latitude_QY, latitude_order),
            )
        return other

    def __call__(self, x_NXY: Fields, skip_missing: bool = False) -> Fields:
        """Return the fields on the target grid, shape (…, P, Q).

        Args:
            x_NXY: Fields on the source grid; NaN is missing.
            skip_missing: Whether a target cell is the mean of what of it is there, and missing only
                where nothing is; otherwise it is missing where anything is.
        """
        if self.is_identity:
            return x_NXY
        *leading, X, Y = x_NXY.shape
        fields = [self._regrid(x_XY, skip_missing) for x_XY in x_NXY.reshape(-1, X, Y)]
        shape = (*leading, self._longitude_PX.shape[0], self._latitude_QY.shape[0])
        return np.array(fields, dtype=np.float32).reshape(shape)

    def _regrid(self, x_XY: Fields, skip_missing: bool) -> NDArray[np.float64]:
        """Regrid one field: one at a time, its result does not depend on its neighbours."""
        missing = np.isnan(x_XY) if skip_missing else None
        if missing is None or not missing.any():
            return self._product(x_XY)
        share = self._product((~missing).astype(np.float32))
        mean = np.full_like(share, np.nan)
        np.divide(self._product(np.where(missing, 0, x_XY)), share, out=mean, where=share > 0)
        return mean

    def _product(self, x_XY: Fields) -> NDArray[np.float64]:
        """Multiply from the side on which whole rows of memory are added up."""
        if x_XY.T.flags.c_contiguous and not x_XY.flags.c_contiguous:
            x_QX = self._large_latitude_QY @ x_XY.T
            x_PQ: NDArray[np.float64] = self._longitude_PX @ x_QX.T
            return x_PQ
        x_PY = self._large_longitude_PX @ x_XY
        x_QP: NDArray[np.float64] = self._latitude_QY @ x_PY.T
        return x_QP.T


def _with_columns(weights: sp.csr_array, order: Order) -> sp.csr_array:
    """Return the matrix with each column where the value that it weighs is stored."""
    return sp.csr_array((weights.data, order[weights.indices], weights.indptr), weights.shape)


def _latitude_weights(source: Vector, target: Vector) -> Vector:
    """Return the share of each target band that lies in each source band, shape (Q, Y)."""
    from_edges, to_edges = (np.sin(np.deg2rad(latitude_edges(y))) for y in (source, target))
    return _shares(_overlap(from_edges, to_edges))


def _longitude_weights(source: Vector, target: Vector) -> Vector:
    """Return the share of each target sector that lies in each source sector, shape (P, X)."""
    from_edges, to_edges = longitude_edges(source), longitude_edges(target)
    turns = [_overlap(from_edges + turn, to_edges) for turn in (-360.0, 0.0, 360.0)]
    return _shares(np.sum(turns, axis=0))


def _overlap(source: Vector, target: Vector) -> Vector:
    """Return the lengths that intervals between ascending edges share, (targets, sources)."""
    upper = np.minimum(target[1:, None], source[None, 1:])
    lower = np.maximum(target[:-1, None], source[None, :-1])
    shared: Vector = np.maximum(upper - lower, 0.0)
    return shared


def _shares(overlap: Vector) -> Vector:
    """Normalise each row to a sum of one, without slivers."""
    shares = overlap / overlap.sum(axis=1, keepdims=True)
    shares[shares < _SLIVER] = 0.0
    normalised: Vector = shares / shares.sum(axis=1, keepdims=True)
    return normalised


def _check_global(grid: Grid, role: str) -> None:
    """Refuse a region, which lacks a part of what some of the other grid's cells cover."""
    if not grid.is_global:
        raise ConfigError(
            f"regridding needs grids that cover the globe; the {role} grid has longitudes "
            f"{grid.longitude[0]:g} … {grid.longitude[-1]:g} and latitudes "
            f"{grid.latitude[0]:g} … {grid.latitude[-1]:g}; for a region keep "
            "data.grid {kind: source}"
        )
