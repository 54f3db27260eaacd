"""Locality: an epoch in blocks of consecutive steps, for data that are costly to read at random.

A shuffle of the whole split puts every row of a batch somewhere else, so that a batch reads as many
parts of the source as it has rows. With locality the split is cut into blocks, each epoch deals
them anew into groups, and a batch's anchors come from one group. What that costs in randomness is
measured in decision 11.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT

Days = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LocalityConfig:
    """Sizes of blocks and groups.

    Attributes:
        block_steps: Length of a block; ideally a multiple of the steps in one of the source's
            chunks [steps].
        blocks_at_once: Number of blocks whose anchors are shuffled together. More blocks, or
            shorter ones, come closer to a shuffle of the whole split.
    """

    block_steps: int = Field(default=64, ge=1)
    blocks_at_once: int = Field(default=16, ge=1)


def block_of(days: Days, block_steps: int) -> Days:
    """Return the block of each of some ascending days, from 0.

    Blocks begin at multiples of `block_steps` of the store, whatever the split, as chunks do. So
    the first and the last may be short.
    """
    block: Days = days // block_steps - days[0] // block_steps
    return block


def shuffle(rng: np.random.Generator, days: Days, locality: LocalityConfig | None) -> Days:
    """Return positions in `days` in a random order, group after group; None is one group of all."""
    if locality is None:
        return rng.permutation(len(days))
    block = block_of(days, locality.block_steps)
    group = rng.permutation(block[-1] + 1) // locality.blocks_at_once
    return np.lexsort((rng.random(len(days)), group[block]))


def blocks_apart(block_steps: int, days: int) -> int:
    """Return the least distance of two blocks, none of whose days are less than `days` apart.

    >>> blocks_apart(10, days=11)  # 0 … 9 and 20 … 29
    2
    """
    return 1 + -(-(days - 1) // block_steps)


def longest_block(days: Days, block_steps: int, apart: int) -> int:
    """Return the longest block up to `block_steps` with which every block has a far one.

    Args:
        days: Ascending and consecutive; the middle one has another `apart` days away.
        block_steps: Longest to try.
        apart: Least distance in days of any day of the one from any of the other.
    """
    for steps in range(min(block_steps, len(days)), 1, -1):
        blocks = block_of(days, steps)[-1] + 1
        if blocks_apart(steps, apart) <= blocks // 2:  # the middle block's distance to an end
            return steps
    return 1
