"""Preparing a 64 x 32 store from 0.25°: the rate, where it goes, and memory as the source grows."""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
import xarray as xr

from benchmarks.harness import Row, Setting, side_by_side
from benchmarks.make_source import LEVEL, make_source
from sparta_ray.base.grids import EquiangularGrid
from sparta_ray.data.preparation.recipe import DataConfig, Recipe, read_recipe
from sparta_ray.data.preparation.shards import finish, lay_out, write_shard
from sparta_ray.data.sources import ZarrSource
from sparta_ray.data.sources.reading import read_samples
from sparta_ray.data.store.readers import Fields
from sparta_ray.on_ray.session import TASK_ENVIRONMENT

SAMPLES_PER_DAY = 2
SMALL_DAYS = 8
"""The smaller source: four reads of each variable and one shard, so memory is as full as it gets.

A preparation holds what it reads and one shard. That of the tenfold source has shards of this
length too: its own would hold all of its days.
"""


def measure(setting: Setting) -> Iterator[Row]:
    """Prepare a source and one ten times as long, each in a process of its own."""
    yield from _rates(setting, read_recipe(_config(setting, SMALL_DAYS)))
    for what, environment in (
        ("", TASK_ENVIRONMENT),
        (", one thread a core and four more", {}),
    ):
        pairs = [
            [
                _peak_in_new_process(_config(setting, days), environment)
                for days in (SMALL_DAYS, 10 * SMALL_DAYS)
            ]
            for _ in range(setting.few)
        ]
        once, tenfold = (median(peaks) for peaks in zip(*pairs, strict=True))
        ratio = median(tenfold / once for once, tenfold in pairs)
        target = ("0.9 … 1.1", 0.9 <= ratio <= 1.1) if environment else ()
        yield Row(
            f"memory to prepare ten times the source{what}; plain: the source once", "MiB",
            tenfold, once, ratio, *target,
        )  # fmt: skip


def _config(setting: Setting, days: int) -> DataConfig:
    """Return the recipe of a store from a source of some days, which is made if it is not there."""
    grid = (144, 73) if setting.quick else (1440, 721)
    path = setting.folder / f"source-{days}.zarr"
    if not path.exists():
        make_source(str(path), days, SAMPLES_PER_DAY, grid)
    return DataConfig(
        source=ZarrSource(kind="zarr", url=str(path), simulated=True),
        store=str(setting.folder / f"prepared-{days}.zarr"),
        grid=EquiangularGrid(kind="equiangular"),
    )


def _rates(setting: Setting, recipe: Recipe) -> Iterator[Row]:
    days = len(recipe.layout.days)
    samples = days * SAMPLES_PER_DAY
    whole = side_by_side(
        partial(recipe.read_fields, 0, days), partial(_with_xarray, recipe), setting.few
    )
    yield Row("source to 64x32 days; plain: xarray, dense matrices", "samples/s",
              samples / whole.ours, samples / whole.plain, whole.ratio)  # fmt: skip
    channels = [[channel] for channel in recipe.source.parts[0].channels]
    fields = np.concatenate([read_samples(one, 0, SAMPLES_PER_DAY) for one in channels])

    def read() -> None:
        for one in channels:
            read_samples(one, 0, SAMPLES_PER_DAY)

    for what, part in (
        ("reading and decoding", read),
        ("regridding", partial(recipe.regridder, fields)),
    ):
        pair = side_by_side(part, partial(recipe.read_fields, 0, 1), setting.few)
        yield Row(f"of which {what}", "%", 100 / pair.ratio)


def _with_xarray(recipe: Recipe) -> Fields:
    """Return the same days by the usual operations, all samples at a time."""
    assert recipe.config.source.kind == "zarr"
    source = xr.open_zarr(recipe.config.source.url, chunks=None).sel(level=LEVEL)
    names = [variable.definition.name for variable in recipe.source.variables]
    days = source[names].to_array().resample(time="1D").mean()
    fields = days.sortby("latitude").transpose("time", "variable", "longitude", "latitude").values
    longitude_PX = recipe.regridder._longitude_PX.toarray()
    latitude_QY = recipe.regridder._latitude_QY.toarray().astype(np.float32)
    regridded: Fields = longitude_PX @ fields @ latitude_QY.T
    return regridded


def _peak_in_new_process(config: DataConfig, environment: dict[str, str]) -> float:
    """Return how much preparing takes in a process with some further environment."""
    shutil.rmtree(config.store, ignore_errors=True)
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(_peak_of_preparing, config).result()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _peak_of_preparing(config: DataConfig) -> float:
    """Prepare all shards, one after another; return how many MiB that takes at its most.

    That is what it adds to what the process holds once it has opened the source.
    """
    recipe = read_recipe(config)
    recipe = replace(recipe, layout=replace(recipe.layout, shard_steps=SMALL_DAYS))
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the highest mark starts anew
    lay_out(recipe)
    finish(recipe, {shard: write_shard(recipe, shard) for shard in range(recipe.layout.shards)})
    return _memory("VmHWM") - before


def _memory(name: str) -> float:
    """Return one of the process's sizes as the kernel counts them, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise OSError(f"this system does not tell {name}; the benchmark needs Linux")
