"""Days a few at a time, so that the memory for their fields does not grow with the days."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

DAYS_AT_ONCE = 128
"""Days whose fields are in memory together where models look at them or scores are summed."""


def day_blocks(days: NDArray[np.int64], apart: int = 1) -> Iterator[NDArray[np.int64]]:
    """Yield consecutive parts of some days, each of which spans at most `DAYS_AT_ONCE`.

    Args:
        days: Which are cut into parts.
        apart: How far each is from the next.
    """
    size = max(1, DAYS_AT_ONCE // apart)
    for start in range(0, len(days), size):
        yield days[start : start + size]
