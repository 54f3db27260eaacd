"""Preparing a 64 x 32 store from 0.25°: the rate, where it goes, and memory as the source grows."""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import xarray as xr

from benchmarks.harness import Row, Setting, side_by_side
from benchmarks.make_source import LEVEL, make_source
from sparta_ray.data.readers import Fields
from sparta_ray.data.recipe import DataConfig, Recipe, read_recipe
from sparta_ray.data.shards import finish, lay_out, plan_store, write_shard
from sparta_ray.data.sources import ZarrSource
from sparta_ray.grids import EquiangularGrid

SAMPLES_PER_DAY = 2
SMALL_DAYS = 4


def measure(setting: Setting) -> Iterator[Row]:
    """Prepare a small source and one ten times as long, each in a process of its own."""
    small = _config(setting, SMALL_DAYS)
    yield from _rates(setting, read_recipe(small))
    for allocator, returned_at_once in (("", False), (", returned to the system at once", True)):
        once, tenfold = (
            _peak_in_new_process(_config(setting, days), returned_at_once)
            for days in (SMALL_DAYS, 10 * SMALL_DAYS)
        )
        growth = tenfold / once
        yield Row(
            f"memory to prepare ten times the source{allocator}; plain: the source once", "MiB",
            tenfold, once, growth, "0.9 … 1.1", 0.9 <= growth <= 1.1,
        )  # fmt: skip


def _config(setting: Setting, days: int) -> DataConfig:
    """Return the recipe of a store from a source of some days, which is made if it is not there.

    A task may hold 64 MiB of fields, so that even the small source does not fit.
    """
    grid = (144, 73) if setting.quick else (1440, 721)
    path = setting.folder / f"source-{days}.zarr"
    if not path.exists():
        make_source(str(path), days, SAMPLES_PER_DAY, grid)
    return DataConfig(
        source=ZarrSource(kind="zarr", url=str(path), simulated=True),
        store=str(setting.folder / f"prepared-{days}.zarr"),
        grid=EquiangularGrid(kind="equiangular"),
        memory_mb=0.64 if setting.quick else 64,
    )


def _rates(setting: Setting, recipe: Recipe) -> Iterator[Row]:
    days = len(recipe.layout.days)
    samples = days * SAMPLES_PER_DAY
    whole = side_by_side(
        partial(recipe.read_fields, 0, days), partial(_with_xarray, recipe), setting.few
    )
    yield Row("source to 64x32 days; plain: xarray, dense matrices", "samples/s",
              samples / whole.ours, samples / whole.plain, whole.ratio)  # fmt: skip
    fields = recipe.source.read_steps(0, 1)
    for what, part in (
        ("reading and averaging", partial(recipe.source.read_steps, 0, 1)),
        ("regridding", partial(recipe.regridder, fields)),
    ):
        pair = side_by_side(part, partial(recipe.read_fields, 0, 1), setting.few)
        yield Row(f"of which {what}", "%", 100 / pair.ratio)


def _with_xarray(recipe: Recipe) -> Fields:
    """Return the same days by the usual operations, all samples at a time."""
    assert isinstance(recipe.config.source, ZarrSource)
    source = xr.open_zarr(recipe.config.source.url, chunks=None).sel(level=LEVEL)
    names = [variable.definition.name for variable in recipe.source.variables]
    days = source[names].to_array().resample(time="1D").mean()
    fields = days.sortby("latitude").transpose("time", "variable", "longitude", "latitude").values
    longitude_PX = recipe.regridder._longitude_PX.toarray()
    latitude_QY = recipe.regridder._latitude_QY.toarray().astype(np.float32)
    regridded: Fields = longitude_PX @ fields @ latitude_QY.T
    return regridded


def _peak_in_new_process(config: DataConfig, returned_at_once: bool) -> float:
    """Return how much preparing takes, with the C library's allocator as it is or told not to keep.

    By itself the library keeps what was freed for later, the more so the more threads allocate.
    """
    shutil.rmtree(config.store, ignore_errors=True)
    if returned_at_once:
        os.environ["MALLOC_MMAP_THRESHOLD_"] = str(2**20)
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(_peak_of_preparing, config).result()
    finally:
        os.environ.pop("MALLOC_MMAP_THRESHOLD_", None)


def _peak_of_preparing(config: DataConfig) -> float:
    """Prepare all shards, one after another; return how many MiB that takes at its most.

    That is what it adds to what the process holds once it has opened the source.
    """
    recipe = plan_store(config)
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
