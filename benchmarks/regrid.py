"""Regridding to 64 x 32, as a preparation calls it, against the bare matrix products."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import Row, Setting, side_by_side
from sparta_ray.data.regrid import ConservativeRegridder, Fields
from sparta_ray.grids import EquiangularGrid, Grid

VARIABLES = 5
NOWHERE = Grid(np.zeros(0), np.zeros(0))
"""A source's grid, where it does not matter."""


def measure(setting: Setting) -> Iterator[Row]:
    """Compare from two usual grids; the weights are the same, so are the values."""
    target = EquiangularGrid(kind="equiangular").grid(NOWHERE)
    for longitudes, latitudes in ((144, 73),) if setting.quick else ((1440, 721), (240, 121)):
        source = EquiangularGrid(
            kind="equiangular", longitudes=longitudes, latitudes=latitudes, poles=True
        ).grid(NOWHERE)
        regridder = ConservativeRegridder(source, target)
        x_VXY = np.random.default_rng(0).standard_normal((VARIABLES, *source.shape), np.float32)
        for name, least, plain in (
            ("the bare sparse products", 0.7, partial(_bare, regridder, x_VXY)),
            ("dense matrices", None, _dense(regridder, x_VXY)),
        ):
            pair = side_by_side(partial(_checked, regridder, x_VXY), plain, setting.repeats)
            what = f"{longitudes}x{latitudes} to 64x32, {VARIABLES} fields; plain: {name}"
            row = partial(Row, what, "samples/s", 1 / pair.ours, 1 / pair.plain, pair.ratio)
            yield row() if least is None else row(f"≥ {least}", pair.ratio >= least)


def _checked(regridder: ConservativeRegridder, x_VXY: Fields) -> bool:
    """Regrid, and look for missing values as `Recipe.read_fields` does."""
    return bool(np.isnan(regridder(x_VXY)).any())


def _bare(regridder: ConservativeRegridder, x_VXY: Fields) -> list[Any]:
    longitude_PX, latitude_QY = regridder._longitude_PX, regridder._latitude_QY
    return [(latitude_QY @ (longitude_PX @ x_XY).T).T for x_XY in x_VXY]


def _dense(regridder: ConservativeRegridder, x_VXY: Fields) -> Callable[[], object]:
    longitude_PX = regridder._longitude_PX.toarray()
    latitude_YQ = regridder._latitude_QY.toarray().T.astype(np.float32)
    return lambda: longitude_PX @ x_VXY @ latitude_YQ
