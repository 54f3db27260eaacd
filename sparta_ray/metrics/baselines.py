"""What a model must beat: day-of-year climatology and the mean field of the training split.

Legend: E days of the year, T days, P points.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import xarray as xr
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DAYS_OF_YEAR = 366


@dataclass(frozen=True, eq=False)
class DayOfYearSums:
    """Sums of the training fields by day of the year, from which both baselines follow.

    Attributes:
        sums: Sum of the values that are present, on each day of the year, shape (E, P).
        counts: How many there are, shape (E, P).
        days: Training days on each day of the year, shape (E,).
        like: A field without its time: dimensions and coordinates of the baselines.
    """

    sums: Floats
    counts: Floats
    days: Floats
    like: xr.DataArray

    @classmethod
    def of(cls, blocks: Iterable[xr.DataArray]) -> "DayOfYearSums":
        """Sum the training split, a block of days at a time, so that no more is in memory.

        Args:
            blocks: Fields in physical units, at least one block; dimensions (time, ...).
        """
        remaining = iter(blocks)
        first = next(remaining).transpose("time", ...)
        found = cls(
            np.zeros((DAYS_OF_YEAR, first[0].size)),
            np.zeros((DAYS_OF_YEAR, first[0].size)),
            np.zeros(DAYS_OF_YEAR),
            first[0].drop_vars([name for name, c in first.coords.items() if "time" in c.dims]),
        )
        found._add(first)
        for block in remaining:
            found._add(block.transpose("time", ...))
        return found

    def _add(self, block: xr.DataArray) -> None:
        days = block["time"].dt.dayofyear.values - 1
        values_TP = block.values.reshape(len(days), -1).astype(np.float64)
        present_TP = ~np.isnan(values_TP)
        rows = np.arange(len(days))
        member_ET = scipy.sparse.csr_array(
            (np.ones(len(rows)), (days, rows)), shape=(DAYS_OF_YEAR, len(rows))
        )
        self.sums[:] += member_ET @ np.where(present_TP, values_TP, 0)
        self.counts[:] += member_ET @ present_TP
        self.days[:] += np.bincount(days, minlength=DAYS_OF_YEAR)

    def climatology(self, half_window: int = 30) -> xr.DataArray:
        """Return the mean field of each day of the year, smoothed over neighbouring days.

        A training day counts with weight max(0, 1 - distance / half_window), the distance in days
        of the year, around the turn of the year; 30 is WeatherBench 2's window of 61 days.

        Args:
            half_window: Days at which the weight has fallen to zero.

        Returns:
            Dimensions (dayofyear, ...), float32, with ``dayofyear`` from 1 to 366. Missing values
            do not enter; NaN where no training day in reach has any.

        Raises:
            ValueError: A day of the year has no training day in reach.
        """
        if half_window < 1:
            raise ValueError(f"half_window must be at least 1 day, not {half_window}")
        weights_EE = _triangle(half_window)
        reach_E = weights_EE @ self.days
        if not reach_E.all():
            raise ValueError(
                f"no training day is within {half_window} days of day {int(reach_E.argmin()) + 1} "
                f"of the year and {int((reach_E == 0).sum()) - 1} others; train on a whole year or "
                "widen the window"
            )
        mean_EP = _ratio(weights_EE @ self.sums, weights_EE @ self.counts)
        days = xr.DataArray(np.arange(1, DAYS_OF_YEAR + 1), dims="dayofyear", name="dayofyear")
        return self.like.expand_dims(dayofyear=days).copy(
            data=mean_EP.reshape(DAYS_OF_YEAR, *self.like.shape)
        )

    def mean_field(self) -> xr.DataArray:
        """Return the mean of what is present over all training days, as float32."""
        mean_P = _ratio(self.sums.sum(axis=0), self.counts.sum(axis=0))
        return self.like.copy(data=mean_P.reshape(self.like.shape))


def climatology_at(climatology: xr.DataArray, times: xr.DataArray) -> xr.DataArray:
    """Return the climatology at dates, the dimension of `times` first."""
    return climatology.sel(dayofyear=times.dt.dayofyear).drop_vars("dayofyear")


def _ratio(sums: Floats, counts: Floats) -> NDArray[np.float32]:
    """Return sums / counts; NaN where nothing was counted."""
    return np.asarray(sums / np.where(counts == 0, np.nan, counts), dtype=np.float32)


def _triangle(half_window: int) -> Floats:
    """Return the weights of every day of the year (column) for every other (row)."""
    day = np.arange(DAYS_OF_YEAR)
    apart = np.abs(day[:, None] - day[None, :])
    distance = np.minimum(apart, DAYS_OF_YEAR - apart)
    return np.asarray(np.maximum(0, 1 - distance / half_window), dtype=np.float64)
