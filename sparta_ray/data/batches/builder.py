"""Building one rank's compact batch for any position of a stage's schedule."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from sparta_ray.base.shares import rank_rows
from sparta_ray.data.batches.compact import BatchConfig, CompactBatch, Needs, build_batch
from sparta_ray.data.plan.locality import Days
from sparta_ray.data.plan.masking import MaskConfig
from sparta_ray.data.plan.sampling import Plan, SamplingConfig, make_plan
from sparta_ray.data.plan.schedule import Schedule
from sparta_ray.data.plan.splits import Split, SplitName
from sparta_ray.data.plan.views import ViewConfig
from sparta_ray.data.preparation.streaming import open_store
from sparta_ray.data.store.block_cache import CacheConfig
from sparta_ray.data.store.store import Store


@dataclass(frozen=True)
class BatchRecipe:
    """All that a CPU worker must know to build any batch of a stage.

    Attributes:
        store: Path of the store.
        splits: The days of each part.
        sampling: How rows are drawn.
        views: Sizes of the views.
        mask: How much is hidden, where and in what shape.
        seed: Seed of the stage's plans.
        schedule: Which unit stands at which position.
        needs: Which parts of a row the stage looks at.
        batches: How batches travel.
        cache: What a node keeps of the store's fields.
    """

    store: str
    splits: dict[SplitName, Split]
    sampling: SamplingConfig
    views: ViewConfig
    mask: MaskConfig
    seed: int
    schedule: Schedule
    needs: Needs
    batches: BatchConfig = field(default_factory=BatchConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)


@dataclass
class BatchBuilder:
    """Builds the rows of one rank for any position of the schedule.

    Attributes:
        recipe: What to build.
        rank: Whose rows; rank r of n takes the r-th of n consecutive parts.
        ranks: Number of ranks.
    """

    recipe: BatchRecipe
    rank: int = 0
    ranks: int = 1
    _store: Store = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._store = open_store(self.recipe.store, self.recipe.cache)
        self._plan = lru_cache(maxsize=2)(self._make_plan)

    def build(self, position: int) -> CompactBatch:
        """Return the compact batch at a position.

        Besides the parts of `build_batch`, every row carries ``position`` and ``global_rows``, the
        rows of all ranks together.
        """
        unit = self.recipe.schedule.batch_at(position)
        plan = self._plan(unit.split, unit.plan)
        whole = plan.batch_rows(unit.step)
        rows = rank_rows(whole, self.rank, self.ranks)
        r = self.recipe
        batch = build_batch(self._store, plan, rows, r.views, r.mask, r.needs, r.batches)
        count = rows.stop - rows.start
        return {
            "position": np.full(count, position),
            "global_rows": np.full(count, whole.stop - whole.start),
            **batch,
        }

    def days(self, position: int) -> Days:
        """Return the day of every row at a position, those of all ranks."""
        unit = self.recipe.schedule.batch_at(position)
        plan = self._plan(unit.split, unit.plan)
        return plan.day[plan.batch_rows(unit.step)]

    def _make_plan(self, split: SplitName, number: int) -> Plan:
        r = self.recipe
        return make_plan(r.splits[split], r.sampling, r.views, r.mask, r.seed, split, number)
