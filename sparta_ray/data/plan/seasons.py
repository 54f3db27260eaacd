"""Seasons, the labels of days: by month, as in the northern hemisphere's winter to autumn."""

import numpy as np
from numpy.typing import NDArray

SEASONS = ("DJF", "MAM", "JJA", "SON")
"""Season names; a label is a position in this tuple."""


def season_of(dates: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Return each date's position in `SEASONS`, by month.

    1979-11-30 is 3 (SON), 1979-12-01 and 1980-02-29 are 0 (DJF), 1980-03-01 is 1 (MAM).

    Raises:
        ValueError: A date is missing.
    """
    if np.isnat(dates).any():
        raise ValueError(f"{np.isnat(dates).sum()} of {dates.size} dates are NaT: drop those days")
    months_since_1970 = dates.astype("datetime64[M]").astype(np.int64)
    december_first = (months_since_1970 + 1) % 12
    return np.asarray(december_first // 3, dtype=np.int64)
