"""Regridding to 64 x 32, as a preparation calls it, against the bare matrix products."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import Row, Setting, side_by_side
from sparta_ray.base.grids import EquiangularGrid, Grid
from sparta_ray.data.regrid import ConservativeRegridder, Fields

VARIABLES = 5
NOWHERE = Grid(np.zeros(0), np.zeros(0))
"""A source's grid, where it does not matter."""


def measure(setting: Setting) -> Iterator[Row]:
    """Compare from two usual grids, stored as (latitude, longitude) from north to south."""
    target = EquiangularGrid(kind="equiangular").grid(NOWHERE)
    for longitudes, latitudes in ((144, 73),) if setting.quick else ((1440, 721), (240, 121)):
        source = EquiangularGrid(
            kind="equiangular", longitudes=longitudes, latitudes=latitudes, poles=True
        ).grid(NOWHERE)
        regridder = ConservativeRegridder(source, target)
        x_VYX = np.random.default_rng(0).standard_normal(
            (VARIABLES, latitudes, longitudes), np.float32
        )
        stored = regridder.reordered(np.arange(longitudes), np.arange(latitudes)[::-1])
        for name, least, plain in (
            ("the bare sparse products", 0.7, partial(_bare, stored, x_VYX)),
            ("dense matrices", None, _dense(stored, x_VYX)),
        ):
            pair = side_by_side(partial(_as_prepared, stored, x_VYX), plain, setting.repeats)
            what = f"{longitudes}x{latitudes} to 64x32, {VARIABLES} fields; plain: {name}"
            row = partial(Row, what, "samples/s", 1 / pair.ours, 1 / pair.plain, pair.ratio)
            yield row() if least is None else row(f"≥ {least}", pair.ratio >= least)


def _as_prepared(stored: ConservativeRegridder, x_VYX: Fields) -> bool:
    """Regrid a sample of each variable as it is stored, and look for missing values."""
    regridded = [stored(x_YX[None, None].swapaxes(-1, -2)) for x_YX in x_VYX]
    return bool(np.isnan(regridded).any())


def _bare(stored: ConservativeRegridder, x_VYX: Fields) -> list[Any]:
    longitude_PX, latitude_QY = stored._longitude_PX, stored._large_latitude_QY
    return [longitude_PX @ (latitude_QY @ x_YX).T for x_YX in x_VYX]


def _dense(stored: ConservativeRegridder, x_VYX: Fields) -> Callable[[], object]:
    latitude_QY = stored._large_latitude_QY.toarray()
    longitude_XP = stored._longitude_PX.toarray().T.astype(np.float32)
    return lambda: latitude_QY @ x_VYX @ longitude_XP
