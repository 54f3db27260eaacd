"""What is missing, infinite, cut short or not there at all."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparta_ray.base.errors import ConfigError, ReadError
from sparta_ray.data.sources import (
    NetCDFSource,
    ZarrSource,
    open_source,
)
from tests.sources import CHUNKS, VARIABLES, expected

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")


def test_missing_values_stay_missing(opened, make_dataset):
    dataset = make_dataset(days=3, per_day=4)
    dataset["geopotential"].loc[{"time": "1979-01-02T06", "level": 850}][1, 2] = np.nan
    strict = opened(dataset).read_steps(0, 3)
    assert_array_equal(np.argwhere(np.isnan(strict)), [[1, 1, 1, 2]])
    lenient = opened(dataset, incomplete_steps="average").read_steps(0, 3)
    by_hand = expected(dataset)[[4, 6, 7], 1, 1, 2].mean()
    assert lenient[1, 1, 1, 2] == pytest.approx(by_hand, rel=1e-6)


def test_infinite_values_are_named(opened, make_dataset):
    dataset = make_dataset()
    dataset["geopotential"].loc[{"time": "1979-01-05", "level": 850}][1, 2] = np.inf
    source = opened(dataset)
    assert np.isfinite(source.read_steps(0, 4)).all()
    with pytest.raises(ReadError, match="geopotential@850 has the value inf m2 s-2 at 1979-01-05T"):
        source.read_steps(2, 6)


@pytest.mark.parametrize("value", [0.0, -9999.0, 9.97e36])
def test_values_that_no_weather_has_are_named(opened, make_dataset, value):
    dataset = make_dataset()
    dataset["2m_temperature"].loc[{"time": "1979-01-05"}][:2] = value  # an unwritten chunk, in part
    source = opened(dataset)
    assert np.isfinite(source.read_steps(0, 4)).all()
    message = f"2m_temperature has the value {value:g} K at 1979-01-05T.*, where weather has 100 to"
    with pytest.raises(ReadError, match=re.escape(message).replace(r"\.\*", ".*")):
        source.read_steps(2, 6)


def test_one_value_everywhere_is_no_weather_and_a_single_station_is(opened, make_dataset):
    dataset = make_dataset()
    dataset["2m_temperature"].loc[{"time": "1979-01-05"}] = 280.0
    with pytest.raises(ReadError, match="2m_temperature is 280 K at every point at 1979-01-05T"):
        opened(dataset).read_steps(2, 6)
    dataset["2m_temperature"].loc[{"time": "1979-01-05"}] = np.nan
    dataset["2m_temperature"].loc[{"time": "1979-01-05"}][0, 0] = 280.0
    assert np.isfinite(opened(dataset).read_steps(2, 6)).any(axis=(2, 3)).all()


def test_where_there_is_nothing(tmp_path):
    with pytest.raises(ConfigError, match=r"'.*none\*\.nc' matches no file"):
        open_source(NetCDFSource(kind="netcdf", paths=f"{tmp_path}/none*.nc"), VARIABLES)
    with pytest.raises(ConfigError, match=r"none\.zarr': no Zarr store there"):
        open_source(ZarrSource(kind="zarr", url=f"{tmp_path}/none.zarr"), VARIABLES)
    with pytest.raises(ConfigError, match=r"'nowhere://x' cannot be opened: Protocol not known"):
        open_source(ZarrSource(kind="zarr", url="nowhere://x"), VARIABLES)


def test_a_file_that_was_cut_short(tmp_path, make_dataset):
    path = tmp_path / "cut.nc"
    make_dataset().to_netcdf(path, engine="h5netcdf")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ReadError, match=r"cannot read .*cut\.nc: OSError: .*truncated"):
        open_source(NetCDFSource(kind="netcdf", paths=str(path)), VARIABLES)


@pytest.mark.parametrize(("zarr_format", "chunk"), [(2, "1.1.0.0"), (3, "c/1/1/0/0")])
def test_a_chunk_that_is_missing_is_no_fill_value(zarred, make_dataset, zarr_format, chunk):
    dataset = make_dataset(days=12)
    source, path = zarred(dataset, zarr_format, encoding=CHUNKS)
    (path / "geopotential" / chunk).unlink()
    assert_allclose(source.read_steps(0, 4), expected(dataset)[:4], rtol=1e-6)
    message = (
        r"geopotential@850 from 1979-01-0[15]T00:00:00 to 1979-01-\d\dT00:00:00: the store has no "
        rf"chunk .*geopotential/{chunk}: .*set data\.source\.missing_chunks=fill"
    )
    with pytest.raises(ReadError, match=message):
        source.read_steps(0, 8)
    config = ZarrSource(kind="zarr", url=str(path), missing_chunks="fill")
    fields = open_source(config, VARIABLES).read_steps(0, 12)
    assert_array_equal(np.isnan(fields).all(axis=(2, 3))[:, 1], np.repeat([0, 1, 0], 4))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_chunk_that_was_cut_short_is_an_error(zarred, make_dataset, zarr_format):
    source, path = zarred(make_dataset(days=12), zarr_format, encoding=CHUNKS)
    chunk = path / "2m_temperature" / ("2.0.0" if zarr_format == 2 else "c/2/0/0")
    chunk.write_bytes(chunk.read_bytes()[:-20])
    message = r"2m_temperature from 1979-01-09T.* to 1979-01-12.*could not decode .* it is damaged"
    with pytest.raises(ReadError, match=message):
        source.read_steps(8, 12)


def test_a_shard_that_was_cut_short_is_an_error(zarred, make_dataset):
    encoding = {"2m_temperature": {"chunks": (1, 4, 5), "shards": (6, 4, 5)}}
    source, path = zarred(make_dataset(days=12), encoding=encoding)
    assert np.isfinite(source.read_steps(0, 12)).all()
    shard = path / "2m_temperature/c/1/0/0"
    shard.write_bytes(shard.read_bytes()[:-20])
    assert np.isfinite(source.read_steps(0, 6)).all()
    with pytest.raises(ReadError, match=r"2m_temperature from 1979-01-07T.*could not decode"):
        source.read_steps(6, 7)


@pytest.mark.parametrize("steps", [(6, 12), (7, 8)])  # the whole shard; a chunk of it
def test_a_chunk_that_a_shard_lacks_is_no_fill_value(zarred, make_dataset, steps):
    dataset = make_dataset(days=14)
    whole = dataset.copy(deep=True)
    dataset["2m_temperature"][8] = np.nan  # as its writer leaves out what is all fill value
    encoding = {"2m_temperature": {"chunks": (1, 4, 5), "shards": (6, 4, 5), "_FillValue": np.nan}}
    source, path = zarred(dataset, encoding=encoding)
    assert_allclose(source.read_steps(0, 6), expected(whole)[:6], rtol=1e-6)
    assert_allclose(source.read_steps(12, 14), expected(whole)[12:], rtol=1e-6)  # a shard's half
    message = (
        r"1 of the chunks in the shard .*2m_temperature/c/1/0/0 were not .*missing_chunks=fill"
    )
    with pytest.raises(ReadError, match=message):
        source.read_steps(*steps)
    config = ZarrSource(kind="zarr", url=str(path), missing_chunks="fill")
    filled = open_source(config, VARIABLES).read_steps(6, 12)
    assert_array_equal(np.isnan(filled).all(axis=(2, 3))[:, 0], np.arange(6, 12) == 8)
