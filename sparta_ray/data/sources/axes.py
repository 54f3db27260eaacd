"""The axes of a data set: time, longitude and latitude, whatever it calls and orders them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from cf_xarray.accessor import CFDatasetAccessor
from numpy.typing import NDArray

from sparta_ray.base.errors import ConfigError
from sparta_ray.data.regrid import ConservativeRegridder
from sparta_ray.data.sources.times import read_times

NAMES = {
    "time": ("time", "valid_time"),
    "longitude": ("longitude", "lon"),
    "latitude": ("latitude", "lat"),
}
"""What coordinates are usually called; a name counts more than what attributes say."""

_CF_AXES = {"time": "T", "longitude": "X", "latitude": "Y"}


@dataclass(frozen=True)
class Axes:
    """Where a data set's samples and grid points lie.

    Attributes:
        time: The dimension of samples; None where the file holds one instant.
        longitude: The dimension of longitudes.
        latitude: The dimension of latitudes.
        times: When each sample is, to the second, shape (T,).
        rounded: By how much times were rounded at most.
        longitudes: Degrees east in 0 … 360, ascending, shape (X,).
        latitudes: Degrees north, ascending, shape (Y,).
        longitude_order: Indices that bring stored longitudes into that order, shape (X,).
        latitude_order: The same of latitudes, shape (Y,).
    """

    time: str | None
    longitude: str
    latitude: str
    times: NDArray[np.datetime64]
    rounded: np.timedelta64
    longitudes: NDArray[np.float64]
    latitudes: NDArray[np.float64]
    longitude_order: NDArray[np.intp]
    latitude_order: NDArray[np.intp]

    @property
    def dims(self) -> tuple[str, ...]:
        """The dimensions that every array must have."""
        spatial = (self.longitude, self.latitude)
        return spatial if self.time is None else (self.time, *spatial)

    def arrange(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return stored values, (…, X, Y), in ascending order of both."""
        for axis, order in ((-2, self.longitude_order), (-1, self.latitude_order)):
            steps = np.diff(order)
            if (steps == -1).all():
                values = np.flip(values, axis)
            elif (steps != 1).any():
                values = np.take(values, order, axis)
        return values

    def regridder_of_stored(self, regridder: ConservativeRegridder) -> ConservativeRegridder:
        """Return the operator for values as they are stored, (…, X, Y)."""
        return regridder.reordered(self.longitude_order, self.latitude_order)


def read_axes(dataset: xr.Dataset, origin: str) -> Axes:
    """Find and check the coordinates.

    Raises:
        ConfigError: One is missing or unfit, or the grid is not one of latitudes and longitudes.
    """
    time, longitude, latitude = (_find(dataset, axis, origin) for axis in NAMES)
    if longitude.dims == latitude.dims:
        raise ConfigError(
            f"{origin} is on no latitude-longitude grid: its points lie along {longitude.dims[0]!r}"
            "; regrid it first"
        )
    degrees_X, degrees_Y = (axis.values.astype(np.float64) for axis in (longitude, latitude))
    _check_degrees(degrees_X, degrees_Y, origin)
    order_X, order_Y = np.argsort(degrees_X % 360), np.argsort(degrees_Y)
    times, rounded = read_times(time, origin)
    return Axes(
        time=str(time.dims[0]) if time.ndim else None,
        longitude=str(longitude.dims[0]),
        latitude=str(latitude.dims[0]),
        times=times,
        rounded=rounded,
        longitudes=(degrees_X % 360)[order_X],
        latitudes=degrees_Y[order_Y],
        longitude_order=order_X,
        latitude_order=order_Y,
    )


def _find(dataset: xr.Dataset, axis: str, origin: str) -> xr.DataArray:
    """Return the coordinate of an axis, by its name or else by its attributes."""
    found = _candidates(dataset, axis, origin)
    for coordinate in found:
        if coordinate.ndim == 1:
            return coordinate
    if not found:
        raise ConfigError(
            f"{origin} has no coordinate {axis!r}; it has {sorted(map(str, dataset.coords))}; "
            f"call it one of {', '.join(NAMES[axis])}, or give it that standard_name"
        )
    if axis == "time" and found[0].ndim == 0:
        return found[0]
    raise ConfigError(
        f"{origin} is on no latitude-longitude grid: {found[0].name!r} has dimensions "
        f"{found[0].dims}, not one; regrid it first"
    )


def _candidates(dataset: xr.Dataset, axis: str, origin: str) -> list[xr.DataArray]:
    """Return what may be the coordinate of an axis.

    Those with a usual name or the CF standard name count; where there are none, those that CF or
    THREDDS know by another attribute, such as ``units: degrees_east``; and last ``axis: X``.

    Raises:
        ConfigError: Several fit by such other attributes.
    """
    # Without the data set's own ``coordinates`` attribute, which would limit the search.
    cf = CFDatasetAccessor(xr.Dataset(coords=dataset.coords))  # type: ignore[no-untyped-call]
    sure = [*(name for name in NAMES[axis] if name in dataset.variables)]
    sure += [str(name) for name in cf.standard_names.get(axis, ())]
    if sure:
        return [dataset[name] for name in sure]
    for names in (cf.coordinates.get(axis, ()), cf.axes.get(_CF_AXES[axis], ())):
        found = [dataset[name] for name in sorted(map(str, names)) if _may_be(dataset[name], axis)]
        if found:
            _check_unambiguous(found, axis, origin)
            return found
    return []


def _may_be(coordinate: xr.DataArray, axis: str) -> bool:
    """Return whether nothing says that a coordinate is of a projection or a rotated grid."""
    standard = coordinate.attrs.get("standard_name", axis)
    units = str(coordinate.attrs.get("units", "degrees"))
    return bool(standard == axis) and (axis == "time" or units.startswith("degree"))


def _check_unambiguous(found: Sequence[xr.DataArray], axis: str, origin: str) -> None:
    lines = [str(coordinate.name) for coordinate in found if coordinate.ndim == 1]
    if len(lines) > 1:
        raise ConfigError(
            f"{origin} has several coordinates that may be its {axis}: {', '.join(lines)}; "
            f"call the right one {axis!r}"
        )


def _check_degrees(
    longitude: NDArray[np.float64], latitude: NDArray[np.float64], origin: str
) -> None:
    for name, degrees in (("longitude", longitude), ("latitude", latitude)):
        if not np.isfinite(degrees).all():
            raise ConfigError(f"{origin}: its {name} has values that are not finite")
        if len(degrees) < 2:
            raise ConfigError(f"{origin}: one {name} makes no grid; take more of the globe")
    steps = np.diff(latitude)
    if not (steps > 0).all() and not (steps < 0).all():
        raise ConfigError(f"{origin}: its latitudes neither ascend nor descend; reorder them first")
    if np.abs(latitude).max() > 90:
        raise ConfigError(f"{origin}: latitude {np.abs(latitude).max():g} is not in degrees north")
    east = np.sort(longitude % 360)
    same = east[1:][np.diff(east) < 1e-6]
    if len(same):
        raise ConfigError(f"{origin}: longitude {same[0]:g} is there twice (0 and 360 are one)")
