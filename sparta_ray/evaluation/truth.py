"""The truth of a run's test days, its baselines, and how any fields compare with it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from sparta_ray.base import variables
from sparta_ray.data.store.store import Store
from sparta_ray.metrics.baselines import climatology_at, day_of_year_climatology, mean_field
from sparta_ray.metrics.records import Score, Subject
from sparta_ray.metrics.scores import bias, rmse, rrmse
from sparta_ray.run.settings import Run, splits

Days = NDArray[np.int64]
_DIMS = ("window", "variable", "longitude", "latitude")


@dataclass(frozen=True)
class Truth:
    """True fields of a store, and the baselines of its training split.

    Attributes:
        run: Tells the training split.
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
        """Return the day-of-year climatology of some days, from the training split."""
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
    def _training(self) -> xr.DataArray:
        split = splits(self.run, len(self.store))["train"]
        days = np.arange(split.start, split.stop)
        fields = self.fields(days).rename(window="time")
        return fields.assign_coords(time=self.store.days[days].astype("datetime64[ns]"))

    @cached_property
    def _climatology(self) -> xr.DataArray:
        return day_of_year_climatology(self._training, self.run.evaluation.climatology_half_window)

    @cached_property
    def _mean(self) -> xr.DataArray:
        return mean_field(self._training)


def field_scores(
    subject: Subject, fields: xr.DataArray, truth: xr.DataArray, lead_days: int | None = None
) -> Iterable[Score]:
    """Compare physical fields with the truth at a lead that no table shows.

    Args:
        subject: Whose fields.
        fields: Dims (window, variable, longitude, latitude).
        truth: Likewise.
        lead_days: Days ahead, for a forecast.

    Yields:
        RRMSE, and RMSE and bias of each variable.
    """
    yield subject.score("rrmse", float(rrmse(fields, truth)), "%", lead_days)
    for metric, values in (("rmse", rmse(fields, truth)), ("bias", bias(fields, truth))):
        for label in values["variable"].values.tolist():
            units = variables.parse(label).definition.units
            yield subject.score(metric, float(values.sel(variable=label)), units, lead_days, label)
