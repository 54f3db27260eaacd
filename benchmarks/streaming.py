"""Batches whose days are read, averaged and regridded when they are asked for."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from benchmarks.harness import Row, Setting, side_by_side
from benchmarks.make_source import make_source
from benchmarks.sample import JOINT
from sparta_ray.base.grids import EquiangularGrid
from sparta_ray.data.batches.builder import BatchBuilder, BatchRecipe
from sparta_ray.data.plan.locality import LocalityConfig
from sparta_ray.data.plan.masking import MaskConfig
from sparta_ray.data.plan.sampling import SamplingConfig, batches_per_epoch
from sparta_ray.data.plan.schedule import Schedule
from sparta_ray.data.plan.splits import Split
from sparta_ray.data.plan.views import ViewConfig
from sparta_ray.data.preparation.recipe import DataConfig, read_recipe
from sparta_ray.data.preparation.shards import finish, lay_out, write_shard
from sparta_ray.data.sources import ZarrSource
from sparta_ray.data.store.block_cache import CacheConfig

BATCHES = 3
"""Of an epoch's 15: two groups of a local plan, and a batch in both."""

WHOLE, SMALL = CacheConfig(), CacheConfig(mb=16)
"""Caches for all days, which take 25 MiB, and for one group's blocks and half of the next's."""


@dataclass(frozen=True)
class Batches:
    """Builds an epoch's first batches in this process.

    Attributes:
        builder: Of one epoch.
        forget: Whether what the node has kept of the source is removed first.
    """

    builder: BatchBuilder
    forget: bool = False

    def __call__(self) -> None:
        """Build them in order."""
        if self.forget:
            folder = self.builder.recipe.cache.folder
            assert folder is not None
            for kept in Path(folder).rglob("*.npy"):
                kept.unlink()
        for position in range(BATCHES):
            self.builder.build(position)


def measure(setting: Setting) -> Iterator[Row]:
    """Compare streams of a 1.5° source, two samples a day, with its prepared store and each other.

    Numbers are of one core's time: reading is decoding, averaging and regridding, and no disk or
    network is waited for. Every stream has a cache of its own. A run without locality whose cache
    is that small is refused; it is measured to see what locality spares.
    """
    days, grid = (160, (72, 37)) if setting.quick else (640, (240, 121))
    source = str(setting.folder / "streamed.zarr")
    make_source(source, days, samples_per_day=1 if setting.quick else 2, grid=grid)
    shuffled = SamplingConfig(min_soft_days=days // 4)
    local = replace(shuffled, locality=LocalityConfig(block_steps=days // 10, blocks_at_once=1))
    store = _prepare(setting, source, "stream")
    prepared = _builder(_prepare(setting, source, "prepared"), days, local, WHOLE)
    kept, read, read_shuffled = (
        _builder(store, days, sampling, replace(cache, folder=str(setting.folder / name)))
        for name, sampling, cache in (
            ("kept", local, WHOLE), ("read", local, SMALL), ("shuffled", shuffled, SMALL),
        )
    )  # fmt: skip
    for what, ours, plain in (
        ("from a node's cache; plain: a prepared store", Batches(kept), Batches(prepared)),
        ("from their source; plain: a prepared store",
         Batches(read, forget=True), Batches(prepared)),
        ("from their source; plain: the same without locality",
         Batches(read, forget=True), Batches(read_shuffled, forget=True)),
    ):  # fmt: skip
        pair = side_by_side(ours, plain, setting.few)
        rows = BATCHES * local.rows_per_full_batch
        yield Row(f"streamed rows {what}", "rows/s", rows / pair.ours, rows / pair.plain,
                  pair.ratio)  # fmt: skip


def _prepare(setting: Setting, source: str, mode: Literal["prepared", "stream"]) -> str:
    """Prepare a store of 64 x 32, without Ray; return its path."""
    recipe = read_recipe(
        DataConfig(
            source=ZarrSource(kind="zarr", url=source, simulated=True),
            store=str(setting.folder / f"{mode}-days.zarr"),
            grid=EquiangularGrid(kind="equiangular"),
            mode=mode,
        )
    )
    lay_out(recipe)
    finish(recipe, {shard: write_shard(recipe, shard) for shard in range(recipe.layout.shards)})
    return recipe.config.store


def _builder(store: str, days: int, sampling: SamplingConfig, cache: CacheConfig) -> BatchBuilder:
    """Return the builder of stage 2's batches, an epoch of them."""
    split = Split(0, days)
    return BatchBuilder(
        BatchRecipe(
            store=store,
            splits={"train": split},
            sampling=sampling,
            views=ViewConfig(),
            mask=MaskConfig(),
            seed=0,
            schedule=Schedule(1, batches_per_epoch(split, sampling), 0),
            needs=JOINT,
            cache=cache,
        )
    )
