"""Reading a store: opening it, and days at random against a bare memory map and zarr-python."""

import time
from collections.abc import Iterator

import numpy as np
import xarray as xr
import zarr

from benchmarks.harness import Row, Setting, side_by_side
from benchmarks.sample import sample
from sparta_ray.data.store.store import Store

DAYS = 64


def measure(setting: Setting) -> Iterator[Row]:
    """Compare opening with xarray's, and a gather of 64 days with the barest and the usual way."""
    store = sample(setting).store
    opening = side_by_side(
        lambda: Store(store.path).read(np.array([0])),
        lambda: xr.open_zarr(store.path, chunks=None)["fields"][0].values,
        setting.repeats,
        time.perf_counter,
    )
    yield Row(
        "opening a store and reading a day; plain: xarray", "s", opening.ours, opening.plain,
        opening.ratio, "< 0.2 s", opening.ours < 0.2,
    )  # fmt: skip
    days = np.random.default_rng(0).integers(0, len(store), DAYS)
    mapped = _mapped(setting, store)
    bare = side_by_side(lambda: store.read(days), lambda: mapped[days], setting.repeats)
    yield Row(
        f"{DAYS} days at random; plain: numpy's memory map", "steps/s", DAYS / bare.ours,
        DAYS / bare.plain, bare.ratio, "≥ 0.5", bare.ratio >= 0.5,
    )  # fmt: skip
    array = zarr.open_array(store.path, path="fields", mode="r")
    usual = side_by_side(lambda: store.read(days), lambda: array.oindex[days], setting.repeats)
    yield Row(f"{DAYS} days at random; plain: zarr-python", "steps/s", DAYS / usual.ours,
              DAYS / usual.plain, usual.ratio)  # fmt: skip


def _mapped(setting: Setting, store: Store) -> np.memmap[tuple[int, ...], np.dtype[np.float32]]:
    """Return the store's fields as one raw file, mapped."""
    fields = store.read(np.arange(len(store)))
    path = setting.folder / "fields.raw"
    fields.tofile(path)
    return np.memmap(path, dtype=np.float32, mode="r", shape=fields.shape)
