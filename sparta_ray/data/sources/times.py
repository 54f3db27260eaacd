"""The times of a data set: decoded, and rounded to the regular times that they nearly are."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from sparta_ray.base.errors import ConfigError

CALENDARS = ("standard", "gregorian", "proleptic_gregorian")

ROUND = tuple(np.timedelta64(minutes, "m") for minutes in (60, 30, 15, 10, 5, 1))
"""What times are rounded to: the first of these that is near to all of them."""

TOLERANCE = 0.05
"""How near that is, as a share of the usual time between two samples."""

SECOND = np.timedelta64(1, "s")


def read_times(time: xr.DataArray, origin: str) -> tuple[NDArray[np.datetime64], np.timedelta64]:
    """Return a coordinate's times, shape (T,), and by how much they were rounded at most.

    Args:
        time: A coordinate of one dimension or none, not decoded yet.
        origin: Of the data set, for messages.

    Raises:
        ConfigError: It is of another calendar, or cannot be decoded.
    """
    exact = _decode(time, origin)
    rounded = round_times(exact)
    return rounded.astype("datetime64[s]"), np.abs(rounded - exact).max(initial=0)


def round_times(times: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    """Return the regular times that these nearly are; these to the second if there are none.

    Times in seconds as floating-point numbers, or in days as float32, miss what was meant by
    microseconds or minutes. A sample at 23:59:59.999997 would then belong to the day before.

    Args:
        times: Of samples, in order, shape (T,).

    >>> early = np.array(["2020-01-01T23:59:59.999997"], "datetime64[ns]")
    >>> round_times(early).astype("datetime64[s]")
    array(['2020-01-02T00:00:00'], dtype='datetime64[s]')
    """
    seconds = _nearest(times, SECOND)
    if len(times) < 2 or (times == _nearest(times, ROUND[-1])).all():
        return seconds
    usual = _middle(np.abs(np.diff(times)))
    for unit in ROUND:
        nearest = _nearest(times, unit)
        if np.abs(nearest - times).max() <= TOLERANCE * usual and _is_regular(nearest):
            return nearest
    return seconds


def _is_regular(times: NDArray[np.datetime64]) -> bool:
    """Return whether times are equally far apart, but for gaps where some are absent."""
    gaps = np.diff(times)
    spacing = _middle(gaps)
    return bool((gaps != 0 * spacing).all() and (gaps % spacing == 0 * spacing).all())


def _middle(lengths: NDArray[np.timedelta64]) -> np.timedelta64:
    middle: np.timedelta64 = np.sort(lengths)[len(lengths) // 2]
    return middle


def _nearest(times: NDArray[np.datetime64], unit: np.timedelta64) -> NDArray[np.datetime64]:
    """Return the nearest multiples of a unit of time, counted from midnight."""
    half = unit.astype("timedelta64[ns]") // 2
    midnight = times.astype("datetime64[D]")
    nearest: NDArray[np.datetime64] = midnight + (times - midnight + half) // unit * unit
    return nearest


def _decode(time: xr.DataArray, origin: str) -> NDArray[np.datetime64]:
    """Return instants of the standard calendar, shape (T,)."""
    calendar = str(time.attrs.get("calendar", "standard"))
    if calendar.lower() not in CALENDARS:
        raise ConfigError(
            f"{origin}: its calendar is {calendar!r}, not the standard one; convert it first "
            "(xarray's convert_calendar)"
        )
    try:
        decoded = xr.decode_cf(xr.Dataset({"time": time.variable.to_base_variable()}))["time"]
    except ValueError as error:
        raise ConfigError(f"{origin}: its times cannot be read: {error}") from error
    times = np.atleast_1d(decoded.values)
    if not np.issubdtype(times.dtype, np.datetime64):
        raise ConfigError(
            f"{origin}: its times have units {time.attrs.get('units', 'absent')!r}; they must be "
            "such as 'hours since 1900-01-01'"
        )
    if np.isnat(times).any():
        raise ConfigError(
            f"{origin}: its time number {int(np.isnat(times).argmax()) + 1} of {len(times)} is "
            "missing (NaN); leave such samples out first"
        )
    return times
