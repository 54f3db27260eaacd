"""Batches whose days are read, averaged and regridded when they are asked for."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from benchmarks.harness import Row, Setting, side_by_side
from benchmarks.make_source import make_source
from benchmarks.sample import JOINT
from sparta_ray.data.batches import BatchBuilder, BatchRecipe
from sparta_ray.data.block_cache import CacheConfig
from sparta_ray.data.locality import LocalityConfig
from sparta_ray.data.masking import MaskConfig
from sparta_ray.data.recipe import DataConfig
from sparta_ray.data.sampling import SamplingConfig, batches_per_epoch
from sparta_ray.data.schedule import Schedule
from sparta_ray.data.shards import finish, lay_out, plan_store, write_shard
from sparta_ray.data.sources import ZarrSource
from sparta_ray.data.splits import Split
from sparta_ray.data.views import ViewConfig
from sparta_ray.grids import EquiangularGrid

DAYS = 640
BATCHES = 3
"""Of an epoch's 15: two groups of a local plan."""
SHUFFLED = SamplingConfig(min_soft_days=200)
LOCAL = replace(SHUFFLED, locality=LocalityConfig(block_steps=64, blocks_at_once=1))
LEAST = CacheConfig(mb=10)
"""Holds the blocks that a local batch is drawn from; all days take 25 MiB."""


@dataclass(frozen=True)
class Batches:
    """Builds an epoch's first batches in this process.

    Attributes:
        builder: Of one epoch.
        count: How many of them.
        forget: Whether what the node has kept of the source is removed first.
    """

    builder: BatchBuilder
    count: int
    forget: bool = False

    def __call__(self) -> None:
        """Build them in order."""
        if self.forget:
            folder = self.builder.recipe.cache.folder
            assert folder is not None
            for kept in Path(folder).rglob("*.npy"):
                kept.unlink()
        for position in range(self.count):
            self.builder.build(position)


def measure(setting: Setting) -> Iterator[Row]:
    """Compare streams of a 1.5° source, two samples a day, with its prepared store and each other.

    Every stream has a cache of its own.
    """
    grid = (72, 37) if setting.quick else (240, 121)
    source = str(setting.folder / "streamed.zarr")
    make_source(source, DAYS, samples_per_day=2, grid=grid)
    prepared = _builder(_prepare(setting, source, "prepared"), LOCAL)
    store = _prepare(setting, source, "stream")
    kept, local, shuffled = (
        _builder(store, sampling, replace(cache, folder=str(setting.folder / name)))
        for name, sampling, cache in (
            ("kept", LOCAL, CacheConfig()),
            ("local", LOCAL, LEAST),
            ("shuffled", SHUFFLED, LEAST),
        )
    )
    count = 1 if setting.quick else BATCHES
    for what, ours, plain in (
        ("kept by the node; plain: a prepared store",
         Batches(kept, count), Batches(prepared, count)),
        ("read from the source; plain: a prepared store",
         Batches(local, count, forget=True), Batches(prepared, count)),
        ("the same; plain: without locality",
         Batches(local, count, forget=True), Batches(shuffled, count, forget=True)),
    ):  # fmt: skip
        pair = side_by_side(ours, plain, setting.few)
        rows = count * LOCAL.full_batch
        yield Row(f"streamed rows, {what}", "rows/s", rows / pair.ours, rows / pair.plain,
                  pair.ratio)  # fmt: skip


def _prepare(setting: Setting, source: str, mode: Literal["prepared", "stream"]) -> str:
    """Prepare a store of 64 x 32, without Ray; return its path."""
    recipe = plan_store(
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


def _builder(
    store: str, sampling: SamplingConfig, cache: CacheConfig | None = None
) -> BatchBuilder:
    """Return the builder of stage 2's batches, an epoch of them."""
    split = Split(0, DAYS)
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
            cache=cache or CacheConfig(),
        )
    )
