"""Which array of a source is which of our channels: by name, level and units."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from cf_xarray.accessor import CFDatasetAccessor
from numpy.typing import NDArray

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.variables import CONVERSIONS, Conversion, Definition, Variable, conversion
from sparta_ray.data.sources.axes import Axes, read_axes
from sparta_ray.data.sources.kind import Opened

LEVELS = (
    *("level", "pressure_level", "isobaricInhPa", "isobaricInPa", "plev", "lev"),
    *("pressure", "isobaric", "air_pressure"),
)
"""What pressure levels are called where no standard name says so, as a dimension or a scalar."""


@dataclass(frozen=True)
class File:
    """An opened data set with its axes found."""

    opened: Opened
    axes: Axes

    @classmethod
    def of(cls, opened: Opened) -> "File":
        """Find and check the axes."""
        return cls(opened, read_axes(opened.dataset, opened.origin))

    def __str__(self) -> str:
        times = self.axes.times.astype("datetime64[h]")
        return f"{self.opened.origin} (times: {len(times)}, {times[0]} to {times[-1]})"


@dataclass(frozen=True)
class Channel:
    """One of our channels in one data set.

    Attributes:
        variable: What it is.
        file: Where it is.
        array: Its values, with dimensions of size one dropped but time's.
        units: The units there.
        conversion: How they become ours.
        level: The dimension of levels; None if there is none.
        level_index: Which of its levels to take.
    """

    variable: Variable
    file: File
    array: xr.DataArray
    units: str
    conversion: Conversion
    level: str | None
    level_index: int

    @property
    def name(self) -> str:
        """What the source calls it."""
        return str(self.array.name)

    @property
    def facts(self) -> str:
        """What the source says of the array."""
        encoding = self.array.encoding
        packing = [encoding.get(key) for key in ("dtype", "scale_factor", "add_offset")]
        chunks = encoding.get("preferred_chunks")
        return repr((self.variable.label, self.name, self.units, chunks, *map(str, packing)))

    def chunk(self, dimension: str) -> int:
        """Return how many indices of a dimension can only be read together."""
        return int(self.array.encoding.get("preferred_chunks", {}).get(dimension, 1))

    def stamps(self, *samples: int) -> list[str]:
        """Return what changes when the bytes that hold some samples do; see `Opened.stamp`."""
        opened = self.file.opened
        dims = opened.dataset[self.name].dims
        places = ({self.file.axes.time: sample, self.level: self.level_index} for sample in samples)
        return [
            opened.stamp(self.name, tuple(place.get(str(name), 0) for name in dims))
            for place in places
        ]


def find_name(dataset: xr.Dataset, definition: Definition, names: Mapping[str, str]) -> str | None:
    """Return what a data set calls a quantity; None if it does not have it.

    The first that is there counts: the name the user gave, ours, an alias, either in capitals, and
    last a CF standard name. A quantity on levels is preferably taken from an array that has them.

    Raises:
        ConfigError: Several arrays have its standard name.
    """
    given = names.get(definition.name)
    wanted = (given,) if given else (definition.name, *definition.aliases)
    found = [str(name) for name in wanted if name in dataset.data_vars]
    if not found and not given:
        capitals = [name.upper() for name in wanted]
        found = [str(name) for name in dataset.data_vars if str(name) in capitals]
    if not found and not given:
        found = [
            str(name)
            for name, array in dataset.data_vars.items()
            if array.attrs.get("standard_name") in wanted
        ]
        if len(found) > 1:
            raise ConfigError(
                f"{found} all have the standard name of {definition.name!r}; choose one with "
                f"data.source.names={{{definition.name}: {found[0]}}}"
            )
    if definition.on_levels:
        found.sort(key=lambda name: _level_coordinate(dataset[name]) is None)
    return found[0] if found else None


def map_channel(files: Sequence[File], variable: Variable, names: Mapping[str, str]) -> Channel:
    """Find a channel in the files of the same times, and check its units, level and dimensions.

    Raises:
        ConfigError: Says what does not fit, and what would.
    """
    holders = [
        (file, name)
        for file in files
        if (name := find_name(file.opened.dataset, variable.definition, names))
    ]
    if variable.level is not None:
        at_level = [
            (file, name)
            for file, name in holders
            if _has_level(file.opened.dataset[name], variable.level)
        ]
        holders = at_level or holders[:1]
    if len(holders) == 0:
        raise ConfigError(_missing(files, variable, names))
    if len(holders) > 1:
        raise ConfigError(
            f"{variable.label} of the same times is in {len(holders)} files: "
            f"{', '.join(file.opened.origin for file, _ in holders[:3])}; keep one of them"
        )
    ((file, name),) = holders
    array = file.opened.dataset[name]
    wanted = variable.definition.units
    units = str(array.attrs.get("units", "absent"))
    converted = conversion(units, wanted)
    if converted is None:
        raise ConfigError(
            f"{name} has units {units!r}; {variable.definition.name} is understood in "
            f"{', '.join(CONVERSIONS[wanted])}: convert the source or correct its attribute"
        )
    level, index = (None, 0) if variable.level is None else _pick_level(array, variable.level)
    array = _drop_others(array, file.axes.dims, level)
    return Channel(variable, file, array, units, converted, level, index)


def _drop_others(array: xr.DataArray, needed: tuple[str, ...], level: str | None) -> xr.DataArray:
    """Return an array of no other dimensions than those of its axes and level."""
    lacking = [dimension for dimension in needed if dimension not in array.dims]
    if lacking:
        raise ConfigError(f"{array.name} has no dimension {lacking[0]!r}; it has {array.dims}")
    others = [dimension for dimension in array.dims if dimension not in (*needed, level)]
    for dimension in others:
        if array.sizes[dimension] > 1:
            raise ConfigError(
                f"{array.name} has a further dimension {dimension!r} of {array.sizes[dimension]}; "
                "select one of it first"
            )
    return array.isel(dict.fromkeys(others, 0))


def _missing(files: Sequence[File], variable: Variable, names: Mapping[str, str]) -> str:
    """Return what to tell a user whose source lacks a quantity."""
    definition = variable.definition
    there = sorted({str(name) for file in files for name in file.opened.dataset.data_vars})
    wanted = names.get(definition.name, definition.name)
    near = difflib.get_close_matches(wanted, there, n=3) or there
    return (
        f"the source has no variable {wanted!r}; the nearest are {near}; if it is there under "
        f"another name, say so: data.source.names={{{definition.name}: …}}"
    )


def _pick_level(array: xr.DataArray, wanted: int) -> tuple[str | None, int]:
    """Return the dimension and the index of a pressure level."""
    coordinate = _level_coordinate(array)
    if coordinate is None:
        raise ConfigError(f"{array.name} has no level {wanted} hPa; its levels are none")
    levels = _hectopascals(coordinate)
    (found,) = np.nonzero(_equal(levels, wanted))
    if len(found) == 0:
        near = levels[np.argsort(np.abs(levels - wanted), kind="stable")[:3]]
        raise ConfigError(
            f"{array.name} has no level {wanted} hPa; the nearest are {_listed(near)}, "
            f"all are {_listed(levels)}"
        )
    return (str(coordinate.dims[0]) if coordinate.ndim else None), int(found[0])


def _has_level(array: xr.DataArray, wanted: int) -> bool:
    coordinate = _level_coordinate(array)
    return coordinate is not None and bool(_equal(_hectopascals(coordinate), wanted).any())


def _equal(levels: NDArray[np.float64], wanted: int) -> NDArray[np.bool_]:
    return np.abs(levels - wanted) < 0.01


def _level_coordinate(array: xr.DataArray) -> xr.DataArray | None:
    """Return the coordinate of pressure levels: by its name, standard name, or axis and units."""
    # Without the array's own ``coordinates`` attribute, which would limit the search.
    cf = CFDatasetAccessor(xr.Dataset(coords=array.coords))  # type: ignore[no-untyped-call]
    names = [
        *(name for name in LEVELS if name in array.coords),
        *cf.standard_names.get("air_pressure", ()),
        *(name for name in sorted(map(str, cf.axes.get("Z", ()))) if _is_pressure(array[name])),
    ]
    return next((array[name] for name in names if array[name].ndim <= 1), None)


def _is_pressure(coordinate: xr.DataArray) -> bool:
    return conversion(str(coordinate.attrs.get("units", "absent")), "Pa") is not None


def _hectopascals(coordinate: xr.DataArray) -> NDArray[np.float64]:
    """Return levels in hPa, which they are in where nothing is said."""
    units = str(coordinate.attrs.get("units", "hPa"))
    to_pascal = conversion(units, "Pa")
    if to_pascal is None:
        raise ConfigError(
            f"{coordinate.name} has units {units!r}, which is no pressure: interpolate to pressure "
            "levels first"
        )
    return np.atleast_1d(coordinate.values).astype(np.float64) * to_pascal.scale / 100


def _listed(levels: NDArray[np.float64]) -> str:
    return "[" + ", ".join(f"{level:g}" for level in levels) + "]"
