"""Sources: gridded data under WeatherBench 2's names, checked before anything is read.

A source is opened lazily; `read_days` turns some of its days into one array. Nothing is filled,
dropped or guessed: what does not fit is an error that names it.
"""

import difflib
import glob
from collections.abc import Iterator
from dataclasses import dataclass as plain_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Discriminator
from pydantic.dataclasses import dataclass

from sparta_ray.config import STRICT, ConfigError
from sparta_ray.variables import Variable

SAMPLE = "simulated_daily_64x32_1979-1982.nc"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SampleSource:
    """The four simulated years that come with the package."""

    kind: Literal["sample"] = "sample"

    @property
    def simulated(self) -> bool:
        """No day of the sample is a real day."""
        return True


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NetCDFSource:
    """NetCDF files that together cover a time range.

    Attributes:
        paths: A path or glob pattern.
        simulated: Whether the fields come from a free-running model; the report says so.
    """

    kind: Literal["netcdf"]
    paths: str
    simulated: bool = False


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ZarrSource:
    """A Zarr store by any fsspec URL, such as ``gs://weatherbench2/…``.

    Attributes:
        url: Where the store is; a Google bucket is read anonymously.
        simulated: Whether the fields come from a free-running model; the report says so.
    """

    kind: Literal["zarr"]
    url: str
    simulated: bool = False


SourceConfig = Annotated[SampleSource | NetCDFSource | ZarrSource, Discriminator("kind")]


@plain_dataclass(frozen=True)
class Source:
    """An opened source, with its days known and complete.

    Attributes:
        parts: Lazily opened fields, one part after another in time.
        days: Calendar days covered, consecutive, shape (T,).
        samples_per_day: Time steps that make a day's mean.
        variables: What each channel is.
    """

    parts: tuple[xr.Dataset, ...]
    days: NDArray[np.datetime64]
    samples_per_day: int
    variables: tuple[Variable, ...]

    @property
    def latitude(self) -> NDArray[np.float64]:
        """Degrees north, ascending."""
        return np.sort(self.parts[0]["latitude"].values.astype(np.float64))

    @property
    def longitude(self) -> NDArray[np.float64]:
        """Degrees east, ascending."""
        return self.parts[0]["longitude"].values.astype(np.float64)

    @property
    def attributes(self) -> dict[str, str]:
        """What the source says of itself, such as its ``title``."""
        return {str(name): str(value) for name, value in self.parts[0].attrs.items()}

    def read_days(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return daily means of days ``start … stop - 1``, shape (days, V, X, Y).

        Raises:
            ValueError: A value is not finite; names the variable and the day.
        """
        steps = start * self.samples_per_day, stop * self.samples_per_day
        channels = [self._read_channel(variable, *steps) for variable in self.variables]
        fields = np.stack(channels, axis=1)
        finite = np.isfinite(fields).all(axis=(2, 3))
        if not finite.all():
            day, channel = np.argwhere(~finite)[0]
            raise ValueError(
                f"{self.variables[channel].label} on {self.days[start + day]} has values that are "
                "not finite; fill or exclude that day (data.first_day, data.last_day)"
            )
        return fields

    def _read_channel(self, variable: Variable, start: int, stop: int) -> NDArray[np.float32]:
        """Return daily means of the time steps ``start … stop - 1``, shape (days, X, Y)."""
        read, offset = [], 0
        for part in self.parts:
            steps = slice(max(start - offset, 0), max(stop - offset, 0))
            read.append(_read_steps(part, variable, steps))
            offset += part.sizes["time"]
        values = np.concatenate(read)
        shape = (-1, self.samples_per_day, *values.shape[1:])
        daily: NDArray[np.float32] = values.reshape(shape).mean(axis=1).astype(np.float32)
        return daily


def _read_steps(part: xr.Dataset, variable: Variable, steps: slice) -> NDArray[np.float64]:
    array = part[variable.definition.name].isel(time=steps)
    if variable.level is not None:
        array = array.sel(level=variable.level)
    array = array.transpose("time", "longitude", "latitude").sortby("latitude")
    return array.values.astype(np.float64)


def open_source(
    config: SourceConfig,
    variables: tuple[Variable, ...],
    first_day: str | None = None,
    last_day: str | None = None,
) -> Source:
    """Open a source and check names, units, levels, grid and times; reads coordinates only.

    Raises:
        ConfigError: Says what is missing or unfit, and what would help.
    """
    parts = _open_parts(config)
    for part in parts:
        for variable in variables:
            _check_variable(part, variable)
        _check_grid(part)
    _check_same_grid(parts)
    _check_order(np.concatenate([part["time"].values for part in parts]))
    parts = [part.sel(time=slice(first_day, last_day)) for part in parts]
    days, samples_per_day = _check_times(np.concatenate([part["time"].values for part in parts]))
    return Source(tuple(parts), days, samples_per_day, variables)


def licence_text(config: SourceConfig) -> str:
    """Return the attribution to keep with data from this source; empty if the user's own."""
    if isinstance(config, SampleSource):
        return files("sparta_ray.data").joinpath("sample/NOTICE").read_text()
    return ""


def _open_parts(config: SourceConfig) -> list[xr.Dataset]:
    match config:
        case SampleSource():
            path = Path(str(files("sparta_ray.data").joinpath("sample", SAMPLE)))
            return [xr.open_dataset(path, engine="h5netcdf", cache=False)]
        case NetCDFSource():
            return _open_netcdf(config.paths)
        case ZarrSource():
            options = {"token": "anon"} if config.url.startswith("gs://") else None
            try:
                return [xr.open_zarr(config.url, chunks=None, storage_options=options)]
            except FileNotFoundError as error:
                raise ConfigError(f"data.source.url {config.url!r}: no Zarr store there") from error
            except ImportError as error:
                raise ConfigError(
                    f"data.source.url {config.url!r} needs a package that is not installed: "
                    f"{error}; for gs:// it is pip install 'sparta-ray[gcs]'"
                ) from error


def _open_netcdf(pattern: str) -> list[xr.Dataset]:
    paths = sorted(glob.glob(pattern))
    if not paths:
        raise ConfigError(f"data.source.paths {pattern!r} matches no file")
    return [xr.open_dataset(path, engine="h5netcdf", cache=False) for path in paths]


def _check_variable(dataset: xr.Dataset, variable: Variable) -> None:
    name = variable.definition.name
    if name not in dataset:
        names = sorted(map(str, dataset.data_vars))
        near = difflib.get_close_matches(name, names, n=3) or names
        raise ConfigError(f"the source has no variable {name!r}; the nearest are {near}")
    units = str(dataset[name].attrs.get("units", "absent")).replace("**", "")
    if units != variable.definition.units:
        raise ConfigError(
            f"{name} has units {units!r}; expected {variable.definition.units!r}: "
            "convert the source or correct its attribute"
        )
    if variable.level is not None and variable.level not in dataset.get("level", xr.DataArray([])):
        levels = dataset["level"].values.tolist() if "level" in dataset else "none"
        raise ConfigError(f"{name} has no level {variable.level} hPa; its levels are {levels}")


def _check_grid(dataset: xr.Dataset) -> None:
    for name in ("time", "latitude", "longitude"):
        if name not in dataset.coords or dataset[name].ndim != 1:
            raise ConfigError(f"the source has no one-dimensional coordinate {name!r}")
        if name != "time" and not np.isfinite(dataset[name].values).all():
            raise ConfigError(f"the source's {name} has values that are not finite")
    step = np.diff(dataset["longitude"].values)
    if len(step) == 0 or (step <= 0).any():
        raise ConfigError("the source's longitudes must ascend; reorder them first")


def _check_same_grid(parts: list[xr.Dataset]) -> None:
    for name in ("latitude", "longitude"):
        if not all(np.array_equal(part[name].values, parts[0][name].values) for part in parts):
            raise ConfigError(f"the source's files do not share one {name}; regrid them first")


def _check_order(times: NDArray[np.datetime64]) -> None:
    late = times[1:][np.diff(times) <= np.timedelta64(0)]
    if len(late):
        raise ConfigError(f"the source's times must ascend without repeats; see {late[0]}")


def _check_times(times: NDArray[np.datetime64]) -> tuple[NDArray[np.datetime64], int]:
    """Return the calendar days and samples per day, or say which days are wrong."""
    if len(times) == 0:
        raise ConfigError("no time step lies between data.first_day and data.last_day")
    if not np.issubdtype(times.dtype, np.datetime64):
        raise ConfigError(
            f"the source's times are {type(times[0]).__name__}, of another than the standard "
            "calendar; convert them first (xarray's convert_calendar)"
        )
    days, counts = np.unique(times.astype("datetime64[D]"), return_counts=True)
    if gaps := list(_missing_days(days)):
        raise ConfigError(f"the source lacks {len(gaps)} days: {_some(gaps)}")
    samples = int(np.bincount(counts).argmax())
    short = days[counts != samples]
    if len(short):
        raise ConfigError(
            f"{len(short)} days have not {samples} time steps like the others: {_some(short)}; "
            "set data.first_day and data.last_day to leave them out"
        )
    return days, samples


def _missing_days(days: NDArray[np.datetime64]) -> Iterator[np.datetime64]:
    every = np.arange(days[0], days[-1] + np.timedelta64(1, "D"))
    yield from np.setdiff1d(every, days)


def _some(days: "NDArray[np.datetime64] | list[np.datetime64]") -> str:
    shown = ", ".join(str(day) for day in days[:5])
    return shown + (" …" if len(days) > 5 else "")
