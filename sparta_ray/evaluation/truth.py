"""The truth of a run's test days, and the baselines of its training split."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from sparta_ray.data.store.store import Store
from sparta_ray.metrics.baselines import TimeOfDaySums, climatology_at
from sparta_ray.run.settings import Run, splits

Days = NDArray[np.int64]
_DIMS = ("window", "variable", "longitude", "latitude")

DAYS_AT_ONCE = 256
"""Training days in memory at a time."""


@dataclass(frozen=True)
class Truth:
    """True fields of a store, and the baselines of its training split.

    Attributes:
        run: Whose training split the baselines are computed from.
        store: The fields.
    """

    run: Run
    store: Store

    def fields(self, days: Days) -> xr.DataArray:
        """Return the true fields of some days, dims (window, variable, longitude, latitude)."""
        return self.labelled(self.store.read(days))

    def labelled(self, fields: NDArray[np.float32]) -> xr.DataArray:
        """Name the dimensions of physical fields of shape (windows, V, X, Y)."""
        coordinates = {
            "variable": list(self.store.variables),
            "longitude": self.store.longitude,
            "latitude": self.store.latitude,
        }
        return xr.DataArray(fields, dims=_DIMS, coords=coordinates)

    def climatology(self, days: Days) -> xr.DataArray:
        """Return the climatology of some steps, from the training split.

        It is by day of the year and, for steps below a day, by time of day.
        """
        times = xr.DataArray(self.store.days[days].astype("datetime64[ns]"), dims="window")
        found = climatology_at(self._climatology, times)
        return found.transpose(*_DIMS).reset_coords(drop=True)

    def mean(self, days: Days) -> xr.DataArray:
        """Return the training mean field, once for each day."""
        return self._mean.expand_dims(window=len(days)).transpose(*_DIMS)

    @property
    def limits(self) -> tuple[xr.DataArray, xr.DataArray]:
        """Each variable's least and greatest value in the training split."""
        statistics = self.store.statistics
        coordinates = {"variable": list(self.store.variables)}
        return (
            xr.DataArray(statistics.minimum, dims="variable", coords=coordinates),
            xr.DataArray(statistics.maximum, dims="variable", coords=coordinates),
        )

    @cached_property
    def _training(self) -> TimeOfDaySums:
        return TimeOfDaySums.of(self._training_blocks())

    def _training_blocks(self) -> Iterator[xr.DataArray]:
        """Yield the fields of the training split, a few days at a time."""
        split = splits(self.run, len(self.store))["train"]
        for start in range(split.start, split.stop, DAYS_AT_ONCE):
            days = np.arange(start, min(start + DAYS_AT_ONCE, split.stop))
            fields = self.fields(days).rename(window="time")
            yield fields.assign_coords(time=self.store.days[days].astype("datetime64[ns]"))

    @cached_property
    def _climatology(self) -> xr.DataArray:
        return self._training.climatology(self.run.evaluation.climatology_half_window)

    @cached_property
    def _mean(self) -> xr.DataArray:
        return self._training.mean_field()
