"""Conservative regridding: each target cell gets the area mean of what it covers.

On latitude-longitude grids the overlap of two cells is a product of an overlap in longitude and
one in the sine of latitude, so the whole operator is two small sparse matrices,
``W_lon x W_latᵀ``. It is exact to first order and equals WeatherBench 2's algorithm.

Legend: N any leading axes, X, Y the source's and P, Q the target's longitudes and latitudes.
"""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparta_ray.config import ConfigError
from sparta_ray.grids import Grid, Vector, latitude_edges, longitude_edges

Fields = NDArray[np.float32]

_SLIVER = 1e-6
"""Overlaps below this share of a target cell are rounding of the edges."""


class ConservativeRegridder:
    """Regrids fields from one global grid to another."""

    def __init__(self, source: Grid, target: Grid):
        """Compute the weights; equal grids need none.

        Raises:
            ConfigError: A grid does not cover the globe.
        """
        self.is_identity = source.same_as(target)
        if self.is_identity:
            return
        _check_global(source, "source")
        _check_global(target, "target")
        longitude = _longitude_weights(source.longitude, target.longitude)
        latitude = _latitude_weights(source.latitude, target.latitude)
        # Longitudes first: they stride over whole rows of the field. That large product is in
        # float32; the small one that follows makes up for it in float64.
        self._longitude_PX = sp.csr_array(longitude.astype(np.float32))
        self._latitude_QY = sp.csr_array(latitude)

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
        x_PY = self._longitude_PX @ x_XY
        x_QP: NDArray[np.float64] = self._latitude_QY @ x_PY.T
        return x_QP.T


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
    """Refuse a region: its outermost cells would reach round the globe and to the poles."""
    around = np.diff(grid.longitude, append=grid.longitude[0] + 360)
    spacing = np.diff(grid.latitude)
    beyond = np.array([grid.latitude[0] + 90, 90 - grid.latitude[-1]])
    if around.max() > 2 * np.median(around) or beyond.max() > 2 * np.median(spacing):
        raise ConfigError(
            f"regridding needs grids that cover the globe; the {role} grid has longitudes "
            f"{grid.longitude[0]:g} … {grid.longitude[-1]:g} and latitudes "
            f"{grid.latitude[0]:g} … {grid.latitude[-1]:g}; for a region keep "
            "data.grid {kind: source}"
        )
