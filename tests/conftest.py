"""Small stores and datasets of made-up weather, shared by all tests."""

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import settings

from sparta_ray.base.variables import parse
from sparta_ray.data.store import writer as store_writer
from sparta_ray.data.store.layout import StoreLayout
from sparta_ray.data.store.statistics import Statistics

# Repeatable, and no time limit a call: the machine may be busy.
settings.register_profile("tests", deadline=None, derandomize=True)
settings.load_profile("tests")


def pytest_xdist_auto_num_workers(config):
    """Two files at a time, for each waits on processes; those that kill things are left alone."""
    return 2 if "not cluster and not faults" in config.option.markexpr else 0


LABELS = ("2m_temperature", "geopotential@850", "specific_humidity@850")
SCALES = {"2m_temperature": (280.0, 15.0), "geopotential": (14e3, 900.0)}


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _repeatable():
    torch.manual_seed(0)


def smooth_weather(days, labels, grid, seed=0):
    """Waves that travel eastward at their own speeds, with a little noise, in physical units."""
    rng = np.random.default_rng(seed)
    time = np.arange(days)[:, None, None]
    longitude = np.linspace(0, 2 * np.pi, grid[0], endpoint=False)[:, None]
    latitude = np.linspace(-1, 1, grid[1])
    fields = np.empty((days, len(labels), *grid), dtype=np.float32)
    for channel, label in enumerate(labels):
        mean, std = SCALES.get(parse(label).definition.name, (0.005, 0.002))
        phase, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.4)
        wave = np.cos(2 * longitude - speed * time + phase) + latitude
        noise = 0.1 * rng.standard_normal((days, *grid))
        fields[:, channel] = mean + std * (wave + noise)
    return fields


@pytest.fixture(scope="session")
def weather():
    """The function that makes fields, (days, V, X, Y)."""
    return smooth_weather


@pytest.fixture(scope="session")
def make_store(tmp_path_factory):
    """Return a function that writes a complete store and returns its path."""

    def make(
        days=40,
        grid=(8, 6),
        labels=LABELS,
        seed=0,
        training_days=None,
        path=None,
        missing=None,
        region=None,
    ):
        """Write a store of the globe, or of a region: its `Grid`."""
        grid = grid if region is None else region.shape
        fields = smooth_weather(days, labels, grid, seed)
        recipe = {"variables": list(labels)}
        if missing is not None:  # booleans, (days, V, X, Y)
            fields[missing] = np.nan
            recipe["max_missing"] = 1.0
        training_days = training_days or int(0.6 * days)
        step = 180 / grid[1]
        layout = StoreLayout(
            days=np.datetime64("1979-01-01") + np.arange(days),
            variables=labels,
            units=tuple(parse(label).definition.units for label in labels),
            longitude=region.longitude if region else np.arange(grid[0]) * 360.0 / grid[0],
            latitude=region.latitude if region else -90 + step / 2 + step * np.arange(grid[1]),
            provenance={"recipe": recipe, "simulated": True},
        )
        path = str(path or tmp_path_factory.mktemp("store") / "tiny.zarr")
        store_writer.write_template(path, layout)
        for shard in range(layout.shards):
            start, stop = layout.shard_days(shard)
            store_writer.write_shard(path, start, fields[start:stop])
        statistics = Statistics.of(fields[:training_days])
        store_writer.mark_complete(path, statistics, training_days, f"fingerprint-{seed}")
        return path

    return make


@pytest.fixture(scope="session")
def make_dataset():
    """Return a function that makes a source's dataset, ascending, in its usual dims."""

    def make(days=6, per_day=1, grid=(4, 5), levels=(500, 850), first="1979-01-01", seed=0):
        steps, (longitudes, latitudes) = days * per_day, grid
        fields = smooth_weather(steps, LABELS, grid, seed).astype(np.float64)
        hours = np.arange(steps) * (24 // per_day)
        coordinates = {
            "time": np.datetime64(first, "ns") + hours.astype("timedelta64[h]"),
            "level": np.array(levels),
            "longitude": np.arange(longitudes) * 360.0 / longitudes,
            "latitude": np.linspace(-72, 72, latitudes),
        }
        variables = {}
        for channel, label in enumerate(LABELS):
            variable = parse(label)
            dims, values = ("time", "longitude", "latitude"), fields[:, channel]
            if variable.level is not None:
                dims = ("time", "level", "longitude", "latitude")
                values = np.stack([values * (1 + n) for n in range(len(levels))], axis=1)
            attributes = {"units": variable.definition.units}
            variables[variable.definition.name] = (dims, values, attributes)
        return xr.Dataset(variables, coordinates, {"title": "made-up weather"})

    return make
