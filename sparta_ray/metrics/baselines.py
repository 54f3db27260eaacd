"""What a model must beat: climatology and the mean field of the training split.

Climatology is by day of the year and, for steps below a day, by time of day too.

Legend: E days of the year, T steps, P points.
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
    """Sums of the training fields by day of the year, from which the baselines follow.

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
        found.add(first)
        for block in remaining:
            found.add(block)
        return found

    def add(self, block: xr.DataArray) -> None:
        """Add a block of further fields, dimensions (time, ...)."""
        block = block.transpose("time", ...)
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


@dataclass(frozen=True, eq=False)
class TimeOfDaySums:
    """Sums by day of the year, kept apart by the hour of the day at which a step begins.

    The daily cycle would otherwise be averaged away: steps of 6 hours have four climatologies.
    Steps of whole days all begin at the same hour.

    Attributes:
        of_hour: The sums of the steps that begin at each hour of the day.
    """

    of_hour: dict[int, DayOfYearSums]

    @classmethod
    def of(cls, blocks: Iterable[xr.DataArray]) -> "TimeOfDaySums":
        """Sum the training split, a block of steps at a time, so that no more is in memory.

        Args:
            blocks: Fields in physical units, at least one block; dimensions (time, ...).
        """
        of_hour: dict[int, DayOfYearSums] = {}
        for block in blocks:
            for hour, part in block.groupby("time.hour"):
                if hour in of_hour:
                    of_hour[hour].add(part)
                else:
                    of_hour[int(hour)] = DayOfYearSums.of([part])
        return cls(of_hour)

    def climatology(self, half_window: int = 30) -> xr.DataArray:
        """Return the smoothed mean field of each hour of each day of the year.

        Args:
            half_window: As of `DayOfYearSums.climatology`, in days.

        Returns:
            Dimensions (hour, dayofyear, ...), float32, with the hours at which steps begin.

        Raises:
            ValueError: A day of the year has no training step of that hour in reach.
        """
        hours = xr.DataArray(sorted(self.of_hour), dims="hour", name="hour")
        found = [self.of_hour[int(hour)].climatology(half_window) for hour in hours]
        return xr.concat(found, dim=hours)

    def mean_field(self) -> xr.DataArray:
        """Return the mean of what is present over all training steps, as float32."""
        sums, counts = (
            sum(getattr(one, name).sum(axis=0) for one in self.of_hour.values())
            for name in ("sums", "counts")
        )
        like = next(iter(self.of_hour.values())).like
        return like.copy(data=_ratio(sums, counts).reshape(like.shape))


def climatology_at(climatology: xr.DataArray, times: xr.DataArray) -> xr.DataArray:
    """Return the climatology at times, the dimension of `times` first.

    Raises:
        KeyError: No training step begins at the hour of one of the times.
    """
    found = climatology.sel(hour=times.dt.hour, dayofyear=times.dt.dayofyear)
    return found.drop_vars(["hour", "dayofyear"])


def _ratio(sums: Floats, counts: Floats) -> NDArray[np.float32]:
    """Return sums / counts; NaN where nothing was counted."""
    return np.asarray(sums / np.where(counts == 0, np.nan, counts), dtype=np.float32)


def _triangle(half_window: int) -> Floats:
    """Return the weights of every day of the year (column) for every other (row)."""
    day = np.arange(DAYS_OF_YEAR)
    apart = np.abs(day[:, None] - day[None, :])
    distance = np.minimum(apart, DAYS_OF_YEAR - apart)
    return np.asarray(np.maximum(0, 1 - distance / half_window), dtype=np.float64)
