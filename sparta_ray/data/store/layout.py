"""The layout of a store: what it holds, and how that is cut into shards.

Legend: T steps, V variables, X longitudes, Y latitudes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHARD_STEPS = 366
SHARD_BYTES = 256 * 2**20
"""A shard is written as a whole: this much is held in memory for it."""

READ_BYTES = 32 * 2**30
"""What one shard may cost to read, and so what a killed task has to read again."""

_LEAST_STEPS = 8
"""However costly reading is: a store should not be thousands of files."""


@dataclass(frozen=True)
class StoreLayout:
    """What a store holds, known before its first value is written.

    Attributes:
        days: Beginnings of the steps, consecutive, in whole days or else hours, shape (T,).
        variables: Labels of the channels.
        units: Units of each channel.
        longitude: Degrees east, ascending, shape (X,).
        latitude: Degrees north, ascending, shape (Y,).
        provenance: Where the data come from and how they were prepared; kept in the store.
        shard_steps: Steps of a shard, the last of which may have fewer.
    """

    days: NDArray[np.datetime64]
    variables: tuple[str, ...]
    units: tuple[str, ...]
    longitude: NDArray[np.float64]
    latitude: NDArray[np.float64]
    provenance: dict[str, Any]
    shard_steps: int = SHARD_STEPS

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, V, X, Y)."""
        return len(self.days), len(self.variables), len(self.longitude), len(self.latitude)

    @property
    def grid(self) -> tuple[int, int]:
        """(X, Y)."""
        return len(self.longitude), len(self.latitude)

    @property
    def bytes(self) -> int:
        """Size of the fields in float32."""
        return int(np.prod(self.shape)) * 4

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-len(self.days) // self.shard_steps)

    def shard_days(self, shard: int) -> tuple[int, int]:
        """Return the first step of a shard and the one after its last."""
        return shard * self.shard_steps, min((shard + 1) * self.shard_steps, len(self.days))


def shard_length(step_bytes: int, read_bytes: float, read_chunk: int) -> int:
    """Return how many steps make a shard that is neither large to hold nor long to read.

    Args:
        step_bytes: Size of a step's fields in the store.
        read_bytes: What a step costs to read.
        read_chunk: Steps that the source can only read together; shards end where those do, if
            they are long enough.

    >>> shard_length(step_bytes=40_960, read_bytes=40_960, read_chunk=25)
    350
    """
    read = max(_LEAST_STEPS, int(READ_BYTES // max(read_bytes, 1)))
    longest = max(1, min(SHARD_STEPS, SHARD_BYTES // step_bytes, read))
    return longest - longest % read_chunk if longest >= read_chunk else longest
