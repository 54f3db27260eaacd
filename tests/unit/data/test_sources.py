import tempfile
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparta_ray.config import ConfigError
from sparta_ray.data.sources import (
    NetCDFSource,
    SampleSource,
    ZarrSource,
    licence_text,
    open_source,
)
from sparta_ray.variables import PUBLISHED, parse

VARIABLES = tuple(map(parse, ("2m_temperature", "geopotential@850")))


@pytest.fixture
def opened(tmp_path):
    """Write datasets as files and open them as one source."""

    def opened(*datasets, variables=VARIABLES, first_day=None, last_day=None):
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        for number, dataset in enumerate(datasets):
            dataset.to_netcdf(folder / f"{number}.nc", engine="h5netcdf")
        config = NetCDFSource(kind="netcdf", paths=f"{folder}/*.nc")
        return open_source(config, variables, first_day, last_day)

    return opened


def expected(dataset):
    """Return (time, 2, X, Y) of an ascending dataset."""
    channels = dataset["2m_temperature"], dataset["geopotential"].sel(level=850)
    return np.stack([channel.values for channel in channels], axis=1)


def test_a_plain_file(opened, make_dataset):
    dataset = make_dataset(days=6)
    source = opened(dataset)
    assert source.samples_per_day == 1
    assert source.days[0] == np.datetime64("1979-01-01")
    assert len(source.days) == 6
    assert_array_equal(source.latitude, [-72, -36, 0, 36, 72])
    assert_array_equal(source.longitude, [0, 90, 180, 270])
    assert source.attributes["title"] == "made-up weather"
    fields = source.read_days(2, 5)
    assert fields.dtype == np.float32
    assert_allclose(fields, expected(dataset)[2:5], rtol=1e-6)


def test_latitude_may_descend(opened, make_dataset):
    dataset = make_dataset()
    source = opened(dataset.isel(latitude=slice(None, None, -1)))
    assert_array_equal(source.latitude, [-72, -36, 0, 36, 72])
    assert_allclose(source.read_days(0, 6), expected(dataset), rtol=1e-6)


def test_dims_may_stand_in_any_order(opened, make_dataset):
    dataset = make_dataset()
    source = opened(dataset.transpose("latitude", "level", "time", "longitude"))
    assert_allclose(source.read_days(0, 6), expected(dataset), rtol=1e-6)


def test_four_samples_make_a_daily_mean(opened, make_dataset):
    dataset = make_dataset(days=3, per_day=4)
    source = opened(dataset)
    assert (len(source.days), source.samples_per_day) == (3, 4)
    by_hand = np.stack([expected(dataset)[4 * day : 4 * day + 4].mean(axis=0) for day in (1, 2)])
    assert_allclose(source.read_days(1, 3), by_hand, rtol=1e-6)


def test_several_files_make_one_range_and_may_part_within_a_day(opened, make_dataset):
    dataset = make_dataset(days=5, per_day=4)
    parts = [dataset.isel(time=slice(*ends)) for ends in ((0, 6), (6, 7), (7, 20))]
    source = opened(*parts)
    assert len(source.days) == 5
    whole = expected(dataset).reshape(5, 4, 2, 4, 5).mean(axis=1)
    assert_allclose(source.read_days(0, 5), whole, rtol=1e-6)
    assert_allclose(source.read_days(3, 4), whole[3:4], rtol=1e-6)


def test_several_files_are_not_read_on_opening(opened, make_dataset):
    dataset = make_dataset(days=4)
    source = opened(dataset.isel(time=slice(0, 2)), dataset.isel(time=slice(2, 4)))
    assert not any(part["2m_temperature"].variable._in_memory for part in source.parts)


def test_files_must_share_their_grid(opened, make_dataset):
    dataset = make_dataset(days=4)
    other = dataset.isel(time=slice(2, 4)).assign_coords(latitude=dataset.latitude + 1)
    with pytest.raises(ConfigError, match="do not share one latitude; regrid"):
        opened(dataset.isel(time=slice(0, 2)), other)


def test_first_and_last_day(opened, make_dataset):
    dataset = make_dataset(days=6, per_day=4)
    source = opened(dataset, first_day="1979-01-02", last_day="1979-01-04")
    assert [str(day) for day in source.days] == ["1979-01-02", "1979-01-03", "1979-01-04"]
    by_hand = expected(dataset)[4:16].reshape(3, 4, 2, 4, 5).mean(axis=1)
    assert_allclose(source.read_days(0, 3), by_hand, rtol=1e-6)
    with pytest.raises(ConfigError, match=r"no time step lies between data\.first_day"):
        opened(dataset, first_day="1990-01-01")


def test_a_missing_variable_names_the_nearest(opened, make_dataset):
    dataset = make_dataset().rename({"2m_temperature": "2m_temperatur", "geopotential": "z"})
    with pytest.raises(ConfigError, match=r"no variable '2m_temperature'.*\['2m_temperatur'\]"):
        opened(dataset)
    with pytest.raises(ConfigError, match=r"no variable 'geopotential'.*'specific_humidity', 'z'"):
        opened(dataset, variables=VARIABLES[1:])


def test_units_must_be_those_expected(opened, make_dataset):
    dataset = make_dataset()
    dataset["2m_temperature"].attrs["units"] = "degC"
    with pytest.raises(ConfigError, match=r"2m_temperature has units 'degC'; expected 'K'"):
        opened(dataset)
    del dataset["2m_temperature"].attrs["units"]
    with pytest.raises(ConfigError, match="has units 'absent'"):
        opened(dataset)


def test_units_may_be_written_with_stars(opened, make_dataset):
    dataset = make_dataset()
    dataset["geopotential"].attrs["units"] = "m**2 s**-2"
    assert len(opened(dataset).days) == 6


def test_a_missing_level(opened, make_dataset):
    with pytest.raises(ConfigError, match=r"geopotential has no level 850 hPa.*\[300, 500\]"):
        opened(make_dataset(levels=(300, 500)))
    surface = make_dataset().isel(level=0, drop=True)
    with pytest.raises(ConfigError, match=r"no level 850 hPa; its levels are none"):
        opened(surface)


def test_a_gap_names_the_days(opened, make_dataset):
    dataset = make_dataset(days=9).isel(time=[0, 1, 2, 5, 6, 8])
    with pytest.raises(ConfigError, match=r"lacks 3 days: 1979-01-04, 1979-01-05, 1979-01-08$"):
        opened(dataset)


def test_a_long_gap_is_cut_short(opened, make_dataset):
    with pytest.raises(ConfigError, match=r"lacks 7 days: (1979-01-0\d, ){4}1979-01-06 …"):
        opened(make_dataset(days=9).isel(time=[0, 8]))


def test_an_incomplete_day_is_named(opened, make_dataset):
    dataset = make_dataset(days=5, per_day=4).isel(time=[*range(13), *range(14, 19)])
    message = r"2 days have not 4 time steps like the others: 1979-01-04, 1979-01-05; set data"
    with pytest.raises(ConfigError, match=message):
        opened(dataset)
    assert len(opened(dataset, last_day="1979-01-03").days) == 3


@pytest.mark.parametrize("steps", [[0, 1, 1, 2], [0, 2, 1, 3]])
def test_times_must_ascend_without_repeats(opened, make_dataset, steps):
    with pytest.raises(ConfigError, match=r"ascend without repeats; see 1979-01-02"):
        opened(make_dataset().isel(time=steps))


def test_longitudes_must_ascend(opened, make_dataset):
    with pytest.raises(ConfigError, match="longitudes must ascend"):
        opened(make_dataset().isel(longitude=[2, 3, 0, 1]))


@pytest.mark.parametrize(("name", "other"), [("time", "valid_time"), ("latitude", "lat")])
def test_coordinates_go_by_their_names(opened, make_dataset, name, other):
    with pytest.raises(ConfigError, match=f"no one-dimensional coordinate '{name}'"):
        opened(make_dataset().rename({name: other}))


def test_a_missing_value_is_named_by_variable_and_day(opened, make_dataset):
    dataset = make_dataset(days=6)
    dataset["geopotential"].loc[{"time": "1979-01-05", "level": 850}][1, 2] = np.nan
    source = opened(dataset)
    assert np.isfinite(source.read_days(0, 4)).all()
    with pytest.raises(ValueError, match=r"geopotential@850 on 1979-01-05 has values that are not"):
        source.read_days(2, 6)


def test_where_there_is_nothing(tmp_path):
    with pytest.raises(ConfigError, match=r"'.*none\*\.nc' matches no file"):
        open_source(NetCDFSource(kind="netcdf", paths=f"{tmp_path}/none*.nc"), VARIABLES)
    with pytest.raises(ConfigError, match=r"none\.zarr': no Zarr store there"):
        open_source(ZarrSource(kind="zarr", url=f"{tmp_path}/none.zarr"), VARIABLES)


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_zarr_source(tmp_path, make_dataset, zarr_format):
    dataset = make_dataset(days=3, per_day=4)
    dataset.to_zarr(tmp_path / "source.zarr", zarr_format=zarr_format, consolidated=True)
    source = open_source(ZarrSource(kind="zarr", url=f"{tmp_path}/source.zarr"), VARIABLES)
    by_hand = expected(dataset).reshape(3, 4, 2, 4, 5).mean(axis=1)
    assert_allclose(source.read_days(0, 3), by_hand, rtol=1e-6)


def test_the_sample_that_comes_with_the_package():
    source = open_source(SampleSource(), tuple(map(parse, PUBLISHED)), last_day="1979-03-01")
    assert (len(source.days), source.samples_per_day) == (60, 1)
    fields = source.read_days(58, 60)
    assert fields.shape == (2, 5, 64, 32)
    assert 200 < fields[:, 0].min() < fields[:, 0].max() < 330
    assert SampleSource().simulated
    assert licence_text(SampleSource())
    assert licence_text(ZarrSource(kind="zarr", url="mine")) == ""


def test_a_file_outside_the_days_asked_for_is_no_obstacle(opened, make_dataset):
    dataset = make_dataset(days=4)
    halves = dataset.isel(time=slice(0, 2)), dataset.isel(time=slice(2, 4))
    source = opened(*halves, first_day="1979-01-03")
    assert_allclose(source.read_days(0, 2), expected(dataset)[2:], rtol=1e-6)
