"""What a model must beat: day-of-year climatology and the mean field of the training split."""

import numpy as np
import scipy.sparse
import xarray as xr
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DAYS_OF_YEAR = 366
DAYS_AT_ONCE = 256


def day_of_year_climatology(fields: xr.DataArray, half_window: int = 30) -> xr.DataArray:
    """Return the mean field of each day of the year, smoothed over neighbouring days.

    A training day counts with weight max(0, 1 - distance / half_window), the distance in days of
    the year, around the turn of the year; 30 is WeatherBench 2's window of 61 days.

    Args:
        fields: The training split, dimensions (time, ...), in physical units.
        half_window: Days at which the weight has fallen to zero.

    Returns:
        Dimensions (dayofyear, ...), float32, with ``dayofyear`` from 1 to 366. Missing values do
        not enter; NaN where no training day in reach has any.

    Raises:
        ValueError: A day of the year has no training day in reach.
    """
    if half_window < 1:
        raise ValueError(f"half_window must be at least 1 day, not {half_window}")
    fields = fields.transpose("time", ...)
    sums_EP, counts_EP, days_E = _sums_by_day(fields)
    weights_EE = _triangle(half_window)
    reach_E = weights_EE @ days_E
    if not reach_E.all():
        raise ValueError(
            f"no training day is within {half_window} days of day {int(reach_E.argmin()) + 1} of "
            f"the year and {int((reach_E == 0).sum()) - 1} others; train on a whole year or widen "
            "the window"
        )
    reach_EP = weights_EE @ counts_EP
    reach_EP[reach_EP == 0] = np.nan
    mean_EP = (weights_EE @ sums_EP) / reach_EP
    return xr.DataArray(
        mean_EP.reshape(DAYS_OF_YEAR, *fields.shape[1:]).astype(np.float32),
        dims=("dayofyear", *fields.dims[1:]),
        coords={
            "dayofyear": np.arange(1, DAYS_OF_YEAR + 1),
            **{name: c for name, c in fields.coords.items() if "time" not in c.dims},
        },
        attrs=fields.attrs,
    )


def climatology_at(climatology: xr.DataArray, times: xr.DataArray) -> xr.DataArray:
    """Return the climatology at dates, the dimension of `times` first."""
    return climatology.sel(dayofyear=times.dt.dayofyear).drop_vars("dayofyear")


def mean_field(fields: xr.DataArray) -> xr.DataArray:
    """Return the mean of what is present over ``time``, accumulated in float64, as float32."""
    return fields.mean("time", dtype=np.float64).astype(np.float32)


def _sums_by_day(fields: xr.DataArray) -> tuple[Floats, Floats, Floats]:
    """Return each day of the year's sum of present values, their number, and its days.

    Returns:
        Twice shape (366, points), and shape (366,).
    """
    days = fields["time"].dt.dayofyear.values - 1
    sums_EP, counts_EP = np.zeros((2, DAYS_OF_YEAR, int(np.prod(fields.shape[1:]))))
    for start in range(0, len(days), DAYS_AT_ONCE):
        part = slice(start, start + DAYS_AT_ONCE)
        block_TP = fields[part].values.reshape(len(days[part]), -1).astype(np.float64)
        present_TP = ~np.isnan(block_TP)
        rows = np.arange(len(block_TP))
        member_ET = scipy.sparse.csr_array(
            (np.ones(len(rows)), (days[part], rows)), shape=(DAYS_OF_YEAR, len(rows))
        )
        sums_EP += member_ET @ np.where(present_TP, block_TP, 0)
        counts_EP += member_ET @ present_TP
    return sums_EP, counts_EP, np.bincount(days, minlength=DAYS_OF_YEAR).astype(np.float64)


def _triangle(half_window: int) -> Floats:
    """Return the weights of every day of the year (column) for every other (row)."""
    day = np.arange(DAYS_OF_YEAR)
    apart = np.abs(day[:, None] - day[None, :])
    distance = np.minimum(apart, DAYS_OF_YEAR - apart)
    return np.asarray(np.maximum(0, 1 - distance / half_window), dtype=np.float64)
