import numpy as np
import pandas as pd
import pytest
import xarray as xr

from sparta_ray.metrics.baselines import DayOfYearSums, TimeOfDaySums, climatology_at

VARIABLES = ["2m_temperature", "geopotential@850", "specific_humidity@850"]


def daily(start, end, seed=0):
    times = pd.date_range(start, end)
    values = np.random.default_rng(seed).normal(280, 5, (len(times), 3, 4, 5))
    return xr.DataArray(
        values.astype(np.float32),
        dims=("time", "variable", "longitude", "latitude"),
        coords={"time": times, "variable": VARIABLES, "latitude": np.linspace(-72, 72, 5)},
    )


def sums_of(fields, days=100):
    """Sum fields a few days at a time; the last block is shorter."""
    return DayOfYearSums.of(fields[start : start + days] for start in range(0, len(fields), days))


def day_of_year_climatology(fields, half_window=30):
    return sums_of(fields).climatology(half_window)


def mean_field(fields):
    return TimeOfDaySums.of(
        fields[start : start + 100] for start in range(0, len(fields), 100)
    ).mean_field()


def test_the_blocks_do_not_matter():
    fields = daily("1999-01-01", "2000-12-31")
    fields[3, 0] = np.nan
    whole, parts = DayOfYearSums.of([fields]), sums_of(fields, 7)
    xr.testing.assert_allclose(whole.climatology(9), parts.climatology(9), rtol=1e-7)
    mean = TimeOfDaySums.of([fields]).mean_field()
    xr.testing.assert_allclose(mean, mean_field(fields), rtol=1e-7)
    assert mean.dims == ("variable", "longitude", "latitude")


def test_climatology_equals_a_loop_over_days():
    fields = daily("1999-01-01", "2001-05-31")
    result = day_of_year_climatology(fields, half_window=7)
    assert result.dims == ("dayofyear", "variable", "longitude", "latitude")
    assert result.dayofyear.values.tolist() == list(range(1, 367))
    for day in (1, 3, 60, 200, 364, 366):
        total, weights = 0.0, 0.0
        for time, values in zip(fields.time.values, fields.values, strict=True):
            apart = abs(pd.Timestamp(time).day_of_year - day)
            weight = max(0, 1 - min(apart, 366 - apart) / 7)
            total, weights = total + weight * values.astype(float), weights + weight
        np.testing.assert_allclose(result.sel(dayofyear=day), total / weights, rtol=1e-6)


def test_climatology_of_a_constant_is_that_constant():
    fields = daily("2000-01-01", "2000-12-31") * 0 + 7
    np.testing.assert_allclose(day_of_year_climatology(fields), 7, rtol=1e-6)


def test_climatology_ignores_the_order_of_days():
    fields = daily("1999-01-01", "2000-12-31")
    shuffled = fields[np.random.default_rng(1).permutation(len(fields))]
    xr.testing.assert_allclose(day_of_year_climatology(fields), day_of_year_climatology(shuffled))


def test_a_season_without_training_days_is_an_error():
    with pytest.raises(ValueError, match="no training day"):
        day_of_year_climatology(daily("2000-01-01", "2000-08-31"))
    with pytest.raises(ValueError, match="half_window"):
        day_of_year_climatology(daily("2000-01-01", "2000-12-31"), half_window=0)


def test_missing_values_do_not_enter_the_climatology_or_the_mean():
    fields = daily("1999-01-01", "2000-12-31")
    rng = np.random.default_rng(1)
    fields = fields.where(rng.random(fields.shape) > 0.3)
    fields[:, 1, 2, 3] = np.nan
    fields[:40, 2] = np.nan
    result = day_of_year_climatology(fields, half_window=5)
    for day in (1, 20, 200):
        apart = np.abs(fields.time.dt.dayofyear.values - day)
        weights = np.maximum(0, 1 - np.minimum(apart, 366 - apart) / 5)
        present = np.isfinite(fields.values) * weights[:, None, None, None]
        with np.errstate(invalid="ignore"):
            expected = np.nansum(present * fields.values, axis=0) / present.sum(axis=0)
        np.testing.assert_allclose(result.sel(dayofyear=day), expected, rtol=1e-6)
    assert result[:, 1, 2, 3].isnull().all()
    assert int(result.isnull().sum()) == 366
    known = np.isfinite(fields.values).any(axis=0)
    expected = np.nanmean(fields.values[:, known], axis=0)
    np.testing.assert_allclose(mean_field(fields).values[known], expected, rtol=1e-5)


def test_climatology_at_dates():
    fields = daily("2000-01-01", "2001-12-31")
    climatology = TimeOfDaySums.of([fields]).climatology()
    xr.testing.assert_identical(
        climatology.isel(hour=0, drop=True), day_of_year_climatology(fields)
    )
    dates = np.array(["2003-12-31", "2004-01-01", "2004-12-31", "2005-01-01"], "datetime64[ns]")
    result = climatology_at(climatology, xr.DataArray(dates, dims="window"))
    assert result.dims == ("window", "variable", "longitude", "latitude")
    for window, day in enumerate((365, 1, 366, 1)):
        expected = climatology.sel(hour=0, dayofyear=day).values
        np.testing.assert_array_equal(result[window].values, expected)


def test_mean_field_is_accurate_over_many_large_numbers():
    fields = daily("2000-01-01", "2002-12-31") + np.float32(1e5)
    expected = fields.values.astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(mean_field(fields), expected, rtol=1e-7)
    assert mean_field(fields).dtype == np.float32


def stepped(freq, of_time, start="1999-01-01", end="2002-01-01"):
    """Return fields that are the same everywhere: a function of the beginnings of steps."""
    times = pd.date_range(start, end, freq=freq, inclusive="left")
    values = np.broadcast_to(np.asarray(of_time(times))[:, None, None], (len(times), 2, 3))
    dims = ("time", "longitude", "latitude")
    return xr.DataArray(values.astype(np.float32), dims=dims, coords={"time": times})


def test_climatology_of_a_daily_cycle_is_that_cycle():
    fields = stepped("6h", lambda times: 280 + 8 * np.cos(2 * np.pi * times.hour / 24))
    climatology = TimeOfDaySums.of([fields[:1000], fields[1000:1003], fields[1003:]]).climatology()
    assert climatology.hour.values.tolist() == [0, 6, 12, 18]
    found = climatology_at(climatology, fields.time)
    np.testing.assert_allclose(found, fields, rtol=1e-6)
    np.testing.assert_allclose(TimeOfDaySums.of([fields]).mean_field(), 280, rtol=1e-6)


def test_climatology_of_what_repeats_by_day_of_year_and_hour_is_what_repeats():
    fields = stepped("6h", lambda times: 100 * times.day_of_year + times.hour)
    climatology = TimeOfDaySums.of([fields]).climatology(half_window=1)
    np.testing.assert_array_equal(climatology_at(climatology, fields.time), fields)


def test_climatology_of_steps_of_five_days():
    fields = stepped("5D", lambda times: 3.0 * times.day_of_year)
    climatology = TimeOfDaySums.of([fields]).climatology(half_window=30)
    assert climatology.hour.values.tolist() == [0]
    middle = fields[(fields.time.dt.dayofyear > 40) & (fields.time.dt.dayofyear < 320)]
    found = climatology_at(climatology, middle.time)
    np.testing.assert_allclose(found, middle, atol=4)  # a line is its own mean, nearly
