"""Which times and grids make a source, and which are refused."""

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

from sparta_ray.base.errors import ConfigError
from sparta_ray.data.sources import describe_source
from sparta_ray.data.sources.times import round_times
from tests.sources import expected

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")


def test_first_and_last_day(opened, make_dataset):
    dataset = make_dataset(days=6, per_day=4)
    source = opened(dataset, first_day="1979-01-02", last_day="1979-01-04")
    assert [str(day) for day in source.days] == ["1979-01-02", "1979-01-03", "1979-01-04"]
    by_hand = expected(dataset)[4:16].reshape(3, 4, 2, 4, 5).mean(axis=1)
    assert_allclose(source.read_steps(0, 3), by_hand, rtol=1e-6)
    with pytest.raises(ConfigError, match=r"no sample lies between data\.first_day"):
        opened(dataset, first_day="1990-01-01")


def test_steps_of_another_length(opened, make_dataset):
    dataset = make_dataset(days=4, per_day=4)
    twelve = opened(dataset, step="12h")
    assert (len(twelve.days), twelve.samples_per_step) == (8, 2)
    whole = expected(dataset)
    assert_allclose(twelve.read_steps(3, 5), whole[6:10].reshape(2, 2, 2, 4, 5).mean(1), rtol=1e-6)
    pairs = opened(dataset, step="2d")
    assert_allclose(pairs.read_steps(1, 2), whole[8:].mean(axis=0, keepdims=True), rtol=1e-6)
    each = opened(dataset, step="6h")
    assert_array_equal(each.read_steps(5, 7), whole[5:7].astype(np.float32))


def test_a_room_that_is_not_filled_yet_is_left_out(opened, make_dataset):
    dataset = make_dataset(days=9)
    dataset.attrs |= {"valid_time_start": "1979-01-03", "valid_time_stop": "1979-01-07"}
    source = opened(dataset)
    assert [str(day) for day in source.days[[0, -1]]] == ["1979-01-03", "1979-01-07"]
    assert len(opened(dataset, first_day="1979-01-01", last_day="1979-01-04").days) == 2


def test_incomplete_steps_may_be_averaged(opened, make_dataset):
    dataset = make_dataset(days=2, per_day=4).isel(time=[0, 1, 3, 4, 5, 6, 7])
    with pytest.raises(ConfigError, match="1 days do not have 4 samples each: 1979-01-01"):
        opened(dataset)
    source = opened(dataset, incomplete_steps="average")
    whole = expected(dataset)
    by_hand = np.stack([whole[:3].mean(axis=0), whole[3:].mean(axis=0)])
    assert_allclose(source.read_steps(0, 2), by_hand, rtol=1e-6)


@pytest.mark.parametrize("steps", [[0, 1, 1, 2], [0, 2, 1, 3]])
def test_times_must_ascend_without_repeats(opened, make_dataset, steps):
    with pytest.raises(ConfigError, match=r"ascend without repeats; see 1979-01-02"):
        opened(make_dataset().isel(time=steps))


@pytest.mark.parametrize("calendar", ["noleap", "360_day"])
def test_other_calendars_are_refused(opened, make_dataset, calendar):
    dataset = make_dataset()
    time = xr.Variable(
        "time", np.arange(6), {"units": "days since 1979-01-01", "calendar": calendar}
    )
    with pytest.raises(ConfigError, match=f"its calendar is '{calendar}', not the standard one"):
        opened(dataset.assign_coords(time=time))


def test_times_that_are_none(opened, make_dataset):
    dataset = make_dataset().assign_coords(time=np.arange(6))
    with pytest.raises(ConfigError, match="its times have units 'absent'; they must be such as"):
        opened(dataset)


def test_times_that_miss_some(opened, make_dataset):
    hours = xr.Variable("time", [0.0, 24, np.nan, 72, 96, 120], {"units": "hours since 1979-01-01"})
    with pytest.raises(ConfigError, match=r"its time number 3 of 6 is missing \(NaN\)"):
        opened(make_dataset().assign_coords(time=hours))


def coded(dataset, values, units):
    """Return a dataset whose file holds these numbers for its times."""
    return dataset.assign_coords(time=xr.Variable("time", values, {"units": units}))


def test_times_that_are_microseconds_early_are_of_the_day_they_mean(opened, make_dataset):
    dataset = make_dataset(days=6)
    seconds = np.arange(6) * 86400.0 - 3e-6
    source = opened(coded(dataset, seconds, "seconds since 1979-01-01"))
    assert [str(day) for day in source.days[[0, -1]]] == ["1979-01-01", "1979-01-06"]
    assert_allclose(source.read_steps(0, 6), expected(dataset), rtol=1e-6)
    assert ", rounded by up to 3e-06 s" in describe_source(source)
    assert "rounded" not in describe_source(opened(dataset))


def test_times_in_days_as_float32_are_the_hours_they_mean(opened, make_dataset):
    dataset = make_dataset(days=6, per_day=24)
    days = (28854 + np.arange(144) / 24).astype(np.float32)  # since 1900: to 169 seconds
    source = opened(coded(dataset, days, "days since 1900-01-01"))
    assert (len(source.days), source.samples_per_step) == (6, 24)
    by_hand = expected(dataset).reshape(6, 24, 2, 4, 5).mean(axis=1)
    assert_allclose(source.read_steps(0, 6), by_hand, rtol=1e-6)
    assert "144 samples, 1 hour apart, 1979-01-01T00 … 1979-01-06T23, rounded by up to" in (
        describe_source(source)
    )


def test_times_are_rounded_only_to_what_all_of_them_nearly_are():
    def rounded(*times):
        return [str(time) for time in round_times(np.array(times, "M8[ms]")).astype("M8[s]")]

    half_past = ["1979-01-01T00:30:00.4", "1979-01-01T03:29:59.6", "1979-01-01T06:30:00.0"]
    assert [time[11:] for time in rounded(*half_past)] == ["00:30:00", "03:30:00", "06:30:00"]
    odd = ["1979-01-01T00:17:20.4", "1979-01-01T01:05:00", "1979-01-01T02:00:00"]
    assert [time[11:] for time in rounded(*odd)] == ["00:17:20", "01:05:00", "02:00:00"]
    whole_minutes = ["1979-01-01T00:01", "1979-01-01T06:02", "1979-01-01T12:01"]
    assert [time[11:16] for time in rounded(*whole_minutes)] == ["00:01", "06:02", "12:01"]
    assert rounded("1979-01-01T23:59:59.999") == ["1979-01-02T00:00:00"]


# Grids


@pytest.mark.parametrize("name", ["time", "latitude", "longitude"])
def test_a_coordinate_that_is_missing(opened, make_dataset, name):
    with pytest.raises(ConfigError, match=rf"no coordinate '{name}'; it has \['.*call it one of"):
        opened(make_dataset().rename({name: "elsewhere"}))


def test_grids_that_are_not_of_latitudes_and_longitudes(opened, make_dataset):
    dataset = make_dataset()
    cells = dataset.stack(cell=("longitude", "latitude")).reset_index("cell")
    with pytest.raises(
        ConfigError, match="no latitude-longitude grid: its points lie along 'cell'"
    ):
        opened(cells)
    curved = dataset.rename(longitude="x", latitude="y")
    curved = curved.assign_coords(
        latitude=(("y", "x"), np.zeros((5, 4))), longitude=(("y", "x"), np.zeros((5, 4)))
    )
    with pytest.raises(ConfigError, match=r"grid: 'longitude' has dimensions .*, not one; regrid"):
        opened(curved)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("latitude", [-72, 0, -36, 36, 72], "neither ascend nor descend"),
        ("latitude", [-72, -36, 0, 36, np.nan], "latitude has values that are not finite"),
        ("latitude", [-100, -36, 0, 36, 72], "latitude 100 is not in degrees north"),
        ("longitude", [0, 120, 240, 360], "longitude 0 is there twice"),
    ],
)
def test_coordinates_that_make_no_grid(opened, make_dataset, name, values, message):
    with pytest.raises(ConfigError, match=message):
        opened(make_dataset().assign_coords({name: values}))


def test_one_latitude_makes_no_grid(opened, make_dataset):
    with pytest.raises(ConfigError, match="one latitude makes no grid"):
        opened(make_dataset().isel(latitude=[2]))
