"""Make a source of made-up weather, laid out like WeatherBench 2's.

    python -m benchmarks.make_source /tmp/era5-like.zarr --days 30

Zarr format 2, one sample a chunk, (time, level, latitude, longitude), latitude descending with
both poles. Five variables on 1440 x 721 take 21 MB a sample, a few GB some weeks.
"""

import argparse
from collections.abc import Sequence

import numpy as np
import zarr
from numcodecs import Blosc  # type: ignore[import-untyped]
from numpy.typing import NDArray
from zarr.core.common import JSON

from sparta_ray.base.variables import PUBLISHED, parse

LEVEL = 850
CLIMATE = {
    "2m_temperature": (280.0, 20.0),
    "u_component_of_wind": (2.0, 8.0),
    "v_component_of_wind": (0.0, 6.0),
    "geopotential": (14_000.0, 1_000.0),
    "specific_humidity": (0.006, 0.003),
}
"""Mean and spread of each quantity, roughly as on Earth."""


def make_source(
    path: str, days: int, samples_per_day: int = 4, grid: tuple[int, int] = (1440, 721)
) -> None:
    """Write a store of the published variables, sample by sample.

    Args:
        path: Where; nothing may be there.
        days: From 1979-01-01 on.
        samples_per_day: Samples of each day, evenly spaced.
        grid: Longitudes and latitudes.
    """
    samples, hours = days * samples_per_day, 24 // samples_per_day
    longitude = np.arange(grid[0]) * 360 / grid[0]
    latitude = np.linspace(90, -90, grid[1])
    group = zarr.create_group(path, zarr_format=2, attributes={"title": "made-up weather"})
    for name, values, units in (
        ("time", np.arange(samples) * hours, "hours since 1979-01-01"),
        ("level", np.array([LEVEL]), "hPa"),
        ("latitude", latitude, "degrees_north"),
        ("longitude", longitude, "degrees_east"),
    ):
        group.create_array(
            name, data=values, fill_value=None, attributes=_attributes([name], units)
        )
    noise = np.random.default_rng(0).standard_normal((grid[1], 2 * grid[0]), np.float32)
    for label in PUBLISHED:
        variable = parse(label).definition
        levels = ["level"] if variable.on_levels else []
        shape = (*[1 for _ in levels], grid[1], grid[0])
        array = group.create_array(
            variable.name,
            shape=(samples, *shape),
            chunks=(1, *shape),
            dtype="float32",
            fill_value=float("nan"),
            compressors=Blosc(cname="lz4"),
            attributes=_attributes(["time", *levels, "latitude", "longitude"], variable.units),
        )
        mean, spread = CLIMATE[variable.name]
        for sample in range(samples):
            wave = _weather(sample * hours, longitude, latitude, noise)
            array[sample] = (mean + spread * wave).reshape(shape)
    zarr.consolidate_metadata(path)


def _weather(
    hour: int,
    longitude: NDArray[np.float64],
    latitude: NDArray[np.float64],
    noise: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return waves that travel eastward, with noise that travels along, shape (Y, X)."""
    east, north = np.deg2rad(longitude), np.deg2rad(latitude)[:, None]
    waves = np.cos(north) * np.cos(4 * east - 2 * np.pi * hour / 144) + np.cos(2 * north)
    shift = hour % len(longitude)
    travelled = noise[:, shift : shift + len(longitude)]
    weather: NDArray[np.float32] = (waves + 0.2 * travelled).astype(np.float32)
    return weather


def _attributes(dimensions: Sequence[str], units: str) -> dict[str, JSON]:
    return {"_ARRAY_DIMENSIONS": tuple(dimensions), "units": units}


def main() -> None:
    """Make what the command line describes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.make_source", description=__doc__)
    parser.add_argument("path")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--samples-per-day", type=int, default=4)
    parser.add_argument("--grid", type=int, nargs=2, default=(1440, 721))
    arguments = parser.parse_args()
    grid = arguments.grid[0], arguments.grid[1]
    make_source(arguments.path, arguments.days, arguments.samples_per_day, grid)


if __name__ == "__main__":
    main()
