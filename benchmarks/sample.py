"""The bundled four years as a prepared store, and one epoch's plan over all of them."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness import Setting
from benchmarks.plain import PlainRows
from sparta_ray.data.batches.compact import BatchConfig, CompactBatch, Needs, build_batch
from sparta_ray.data.batches.view_operator import ViewOperator
from sparta_ray.data.plan.masking import MaskConfig
from sparta_ray.data.plan.sampling import Plan, SamplingConfig, make_plan
from sparta_ray.data.plan.splits import Split
from sparta_ray.data.plan.views import ViewConfig
from sparta_ray.data.preparation.recipe import DataConfig, read_recipe
from sparta_ray.data.preparation.shards import finish, lay_out, write_shard
from sparta_ray.data.store.store import Store

JOINT = Needs(contrastive=True, input=True)
"""What stage 2 looks at: all of a row."""


@dataclass(frozen=True)
class Sample:
    """Published sizes on the bundled years; tiny ones where the setting is quick."""

    folder: Path
    quick: bool

    @cached_property
    def store(self) -> Store:
        """The store, made here without Ray."""
        last_day = "1979-06-30" if self.quick else None
        recipe = read_recipe(DataConfig(store=f"{self.folder}/sample.zarr", last_day=last_day))
        lay_out(recipe)
        finish(recipe, {n: write_shard(recipe, n) for n in range(recipe.layout.shards)})
        return Store(recipe.config.store)

    @property
    def views(self) -> ViewConfig:
        """Sizes of the views."""
        return ViewConfig(resize=(72, 40), crop=(64, 32)) if self.quick else ViewConfig()

    @property
    def mask(self) -> MaskConfig:
        """The published masks."""
        return MaskConfig()

    @property
    def sampling(self) -> SamplingConfig:
        """42 anchors with their negatives, as near as four years allow."""
        if self.quick:
            return SamplingConfig(rows_per_batch=12, min_soft_days=50)
        return SamplingConfig(min_soft_days=600)

    @cached_property
    def plan(self) -> Plan:
        """One epoch."""
        split = Split(0, len(self.store))
        return make_plan(split, self.sampling, self.views, self.mask, 0, "train", 0)

    @cached_property
    def operator(self) -> ViewOperator:
        """Makes the views."""
        return ViewOperator(self.store.grid, self.views)

    @cached_property
    def plain_rows(self) -> PlainRows:
        """The plan's rows made the plain way, of fields that already lie in memory."""
        return PlainRows(self.fields, self.plan, self.views)

    @cached_property
    def fields(self) -> Tensor:
        """All steps, standardised, (T, V, X, Y)."""
        return torch.from_numpy(self.store.read_standardised(np.arange(len(self.store))))

    def batch(self, needs: Needs, config: BatchConfig | None = None) -> CompactBatch:
        """Return the first batch of the plan."""
        rows = self.plan.batch_rows(0)
        return build_batch(self.store, self.plan, rows, self.views, self.mask, needs, config)


@lru_cache(maxsize=1)
def sample(setting: Setting) -> Sample:
    """Return the sample of a run, made once."""
    return Sample(setting.folder, setting.quick)
