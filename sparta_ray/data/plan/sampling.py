"""The plan: every random choice of an epoch, as a pure function of (config, seed, epoch).

A plan lists, row by row, which day enters a batch, how far its two neighbours are, where its views
are cropped and from which seeds its masks are drawn. Workers only look things up.

Legend: R rows of an epoch; 3 contrastive views (day, after, before); 3 masked views
(after, before, input).
"""

from dataclasses import dataclass as plain_dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT
from sparta_ray.base.durations import DAY, StepLength
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.seeding import derive_seed
from sparta_ray.data.plan.locality import (
    Days,
    LocalityConfig,
    block_of,
    blocks_apart,
    longest_block,
    shuffle,
)
from sparta_ray.data.plan.masking import MaskConfig
from sparta_ray.data.plan.splits import Split
from sparta_ray.data.plan.views import ViewConfig


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SamplingConfig:
    """How anchors, neighbours and negatives are drawn.

    Attributes:
        rows_per_batch: Largest number of rows in a batch. With negatives, every anchor takes three
            of them.
        negatives: Whether every anchor comes with one hard and one soft negative.
        max_neighbour_days: Largest distance Δ of a neighbour. With 0 the neighbour is the step
            itself, in another view [steps of data.step].
        neighbour_decay: Rate λ of the distances' distribution: P(Δ) is proportional to exp(-λΔ)
            [1/step].
        hard_days: Smallest and largest distance of a hard negative [steps of data.step].
        min_soft_days: Smallest distance of a soft negative; an earlier step must be one farther
            away, as in the published runs [steps of data.step].
        validation_order: Order of the validation anchors. With ``time``, as published, a batch
            holds consecutive steps, whose neighbours are hard to tell apart; with ``shuffled`` it
            is like a training batch. The same model has a higher contrastive loss in time order.
        locality: Draws the anchors of a batch from a few blocks of days, so that streaming reads
            less. None shuffles the anchors of the whole split, as published.
    """

    rows_per_batch: int = Field(default=128, ge=4, le=65_536)
    negatives: bool = True
    max_neighbour_days: int = Field(default=5, ge=0)
    neighbour_decay: float = Field(default=0.1, ge=0)
    hard_days: tuple[int, int] = (11, 40)
    min_soft_days: int = Field(default=1000, ge=1)
    validation_order: Literal["time", "shuffled"] = "time"
    locality: LocalityConfig | None = None

    @model_validator(mode="after")
    def _order_hard_days(self) -> "SamplingConfig":
        least, greatest = self.hard_days
        if not 0 < least <= greatest:
            raise ValueError(f"hard_days {self.hard_days} must be two days, ascending, above 0")
        return self

    @property
    def rows_per_anchor(self) -> int:
        """Three with negatives (anchor, hard, soft), else one."""
        return 3 if self.negatives else 1

    @property
    def anchors_per_batch(self) -> int:
        """42 for the published 128 rows with negatives."""
        return self.rows_per_batch // self.rows_per_anchor

    @property
    def rows_per_full_batch(self) -> int:
        """Rows of every batch but an epoch's last: 126 for the published 128 with negatives."""
        return self.anchors_per_batch * self.rows_per_anchor


@plain_dataclass(frozen=True)
class Plan:
    """One epoch, row by row; rows of one anchor stand together (anchor, hard, soft).

    Attributes:
        day: Index of the row's day in the store, shape (R,).
        delta: Distance of its two neighbours in days, shape (R,).
        crop: Offsets of the day's, after's and before's crop, shape (R, 3, 2).
        mask_ratio: Share hidden in the after, before and input view, shape (R, 3).
        mask_seed: Seed of each of those masks, shape (R, 3), uint64.
        rows_per_batch: Rows of every batch but the last.
    """

    day: Days
    delta: Days
    crop: NDArray[np.int16]
    mask_ratio: NDArray[np.float64]
    mask_seed: NDArray[np.uint64]
    rows_per_batch: int

    def __len__(self) -> int:
        return -(-len(self.day) // self.rows_per_batch)

    def batch_rows(self, step: int) -> slice:
        """Return the rows of batch `step`; the last batch may be short, and is kept."""
        assert 0 <= step < len(self)
        return slice(
            step * self.rows_per_batch, min((step + 1) * self.rows_per_batch, len(self.day))
        )


def anchors(split: Split, config: SamplingConfig) -> Days:
    """Return the days whose farthest neighbours still lie inside the split."""
    reach = config.max_neighbour_days
    return np.arange(split.start + reach, split.stop - reach, dtype=np.int64)


def batches_per_epoch(split: Split, config: SamplingConfig) -> int:
    """Return the number of batches of an epoch, the short last one included."""
    return -(-len(anchors(split, config)) // config.anchors_per_batch)


def check_split(split: Split, name: str, config: SamplingConfig, step: StepLength = DAY) -> None:
    """Refuse a split in which some anchor has no negative to draw.

    Args:
        split: The split.
        name: Its name.
        config: Distances and rows, in steps.
        step: How long a step is.

    Raises:
        ConfigError: Names the split, its length and the distance that would fit.
    """
    noun, nouns = step.noun, step.nouns
    n = len(anchors(split, config))
    if n < 2:
        raise ConfigError(
            f"the {name} split has {len(split)} {nouns}: too few for neighbours "
            f"±{config.max_neighbour_days} {nouns} away; give it more {nouns} or a larger share"
        )
    if not config.negatives:
        return
    if n < 3 and config.locality is None:
        raise ConfigError(
            f"the {name} split has {len(split)} {nouns}, {n} of them with all their neighbours: "
            f"too few for negatives; give it more {nouns} or a larger share"
        )
    farthest = n // 2  # the middle anchor's distance to the farther end
    farthest_soft = (n - 1) // 2 if config.locality is None else farthest
    if config.min_soft_days > farthest_soft:
        raise ConfigError(
            f"the {name} split has {len(split)} {nouns}: its middle anchor has no {noun} "
            f"{config.min_soft_days} {nouns} away for a soft negative; set "
            f"sampling.min_soft_days to at most {farthest_soft}, or give the split more {nouns}"
        )
    if config.hard_days[0] > farthest:
        raise ConfigError(
            f"the {name} split has {len(split)} {nouns}: its middle anchor has no {noun} "
            f"{config.hard_days[0]} {nouns} away for a hard negative; give the split more {nouns}"
        )
    if config.locality is not None:
        _check_far_blocks(split, name, config, config.locality.block_steps, nouns)


def _check_far_blocks(
    split: Split, name: str, config: SamplingConfig, block_steps: int, nouns: str
) -> None:
    """Refuse blocks of which the middle one has no other far enough for soft negatives."""
    longest = longest_block(anchors(split, config), block_steps, config.min_soft_days)
    if longest < block_steps:
        raise ConfigError(
            f"the {name} split has {len(split)} {nouns}: its middle block of {block_steps} has no "
            f"other {config.min_soft_days} {nouns} away for its soft negatives; set "
            f"sampling.locality.block_steps to {longest}, or lower sampling.min_soft_days"
        )


def make_plan(
    split: Split,
    sampling: SamplingConfig,
    views: ViewConfig,
    mask: MaskConfig,
    seed: int,
    split_name: str,
    epoch: int,
) -> Plan:
    """Draw one epoch: every anchor once, shuffled, each with its own negatives.

    Validation anchors stay in the order of time, unless `validation_order` is ``shuffled``.

    With locality, the blocks are dealt anew into groups of `blocks_at_once`, the anchors of a group
    are shuffled, and batches are cut from group after group. Hard negatives reach over a block's
    ends; the soft ones of a block all come from one other block, drawn anew as well.

    Args:
        split: The days that may appear.
        sampling: Distances and batch size.
        views: Bounds of the crop offsets.
        mask: Range of the mask ratio.
        seed: The run's seed.
        split_name: Keeps training and validation draws apart.
        epoch: From 0.
    """
    rng = np.random.default_rng(derive_seed(seed, "plan", split_name, epoch))
    usable = anchors(split, sampling)
    chosen = shuffle(rng, usable, sampling.locality)
    if split_name == "validation" and sampling.validation_order == "time":
        chosen = np.arange(len(usable))
    if sampling.negatives:
        hard = _draw_at_distance(rng, chosen, len(usable), *sampling.hard_days)
        soft = _draw_soft(rng, chosen, usable, sampling)
        chosen = np.stack([chosen, hard, soft], axis=1).reshape(-1)
    rows = len(chosen)
    return Plan(
        day=usable[chosen],
        delta=_draw_deltas(rng, rows, sampling),
        crop=rng.integers(0, views.crop_positions, size=(rows, 3, 2)).astype(np.int16),
        mask_ratio=rng.uniform(*mask.ratio, size=(rows, 3)),
        mask_seed=rng.integers(0, 2**64, size=(rows, 3), dtype=np.uint64),
        rows_per_batch=sampling.rows_per_full_batch,
    )


def neighbour_probabilities(config: SamplingConfig) -> NDArray[np.float64]:
    """Return P(delta) for delta = 1 … max_neighbour_days; 0.242 … 0.162 as published."""
    weight = np.exp(-config.neighbour_decay * np.arange(1, config.max_neighbour_days + 1))
    probability: NDArray[np.float64] = weight / weight.sum()
    return probability


def _draw_soft(
    rng: np.random.Generator, position: Days, usable: Days, config: SamplingConfig
) -> Days:
    """Draw soft negatives from all days far enough, or from one far block for each block."""
    least = config.min_soft_days
    if config.locality is None:
        return _draw_at_distance(rng, position, len(usable), least, len(usable), earlier=least + 1)
    block = block_of(usable, config.locality.block_steps)
    size = np.bincount(block)
    apart = blocks_apart(config.locality.block_steps, least)
    partner = _draw_at_distance(rng, np.arange(len(size)), len(size), apart, len(size))
    far = partner[block[position]]
    return (np.cumsum(size) - size)[far] + rng.integers(0, size[far])


def _draw_deltas(rng: np.random.Generator, rows: int, config: SamplingConfig) -> Days:
    if config.max_neighbour_days == 0:
        return np.zeros(rows, dtype=np.int64)
    return 1 + rng.choice(config.max_neighbour_days, size=rows, p=neighbour_probabilities(config))


def _draw_at_distance(
    rng: np.random.Generator,
    position: Days,
    count: int,
    least: int,
    greatest: int,
    earlier: int | None = None,
) -> Days:
    """Draw for each position another of `count`, uniform over those `least`…`greatest` away.

    Where it is given, those before the position are at least `earlier` away.
    """
    low = np.maximum(position - greatest, 0)
    left = np.maximum(position - (earlier or least) - low + 1, 0)
    right = np.maximum(np.minimum(position + greatest, count - 1) - (position + least) + 1, 0)
    pick = rng.integers(0, left + right)
    return np.where(pick < left, low + pick, position + least + pick - left)
