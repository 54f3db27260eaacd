"""How a source is known, described and configured."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparta_ray.base.config import from_tree, to_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.variables import PUBLISHED, parse
from sparta_ray.data.sources import (
    NetCDFSource,
    SampleSource,
    ZarrSource,
    describe_source,
    open_source,
)
from tests.sources import CHUNKS, VARIABLES, expected

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")


def test_the_signature_changes_when_the_source_does(zarred, make_dataset):
    dataset = make_dataset(days=12)
    source, path = zarred(dataset, encoding=CHUNKS)
    config = ZarrSource(kind="zarr", url=str(path))
    signature = open_source(config, VARIABLES).signature
    assert signature == source.signature
    assert open_source(config, VARIABLES[:1]).signature != signature
    assert open_source(config, VARIABLES, last_day="1979-01-11").signature != signature
    chunk = path / "geopotential/c/2/1/0/0"
    chunk.write_bytes(chunk.read_bytes() + b"!")
    assert open_source(config, VARIABLES).signature != signature


@pytest.mark.parametrize("chunk", [0, 3, 6, 9, 12])
def test_the_signature_looks_at_five_places(zarred, make_dataset, chunk):
    source, path = zarred(make_dataset(days=50), encoding=CHUNKS)  # in 13 chunks of four days
    before = source.signature
    changed = path / f"2m_temperature/c/{chunk}/0/0"
    changed.write_bytes(changed.read_bytes() + b"!")
    config = ZarrSource(kind="zarr", url=str(path))
    assert open_source(config, VARIABLES).signature != before


def test_the_signature_of_files(tmp_path, make_dataset):
    dataset, path = make_dataset(), tmp_path / "0.nc"
    config = NetCDFSource(kind="netcdf", paths=str(path))
    signatures = []
    for values in (dataset, dataset, dataset + 1, dataset.assign_coords(latitude=np.arange(5.0))):
        values = values.map(lambda array, **_: array.assign_attrs(dataset[array.name].attrs))
        values.to_netcdf(path, engine="h5netcdf")
        signatures.append(open_source(config, VARIABLES).signature)
        assert open_source(config, VARIABLES).signature == signatures[-1]
    assert len(set(signatures)) == 4


def test_a_description_says_what_was_found(opened, make_dataset):
    dataset = make_dataset(days=3, per_day=4).rename({"2m_temperature": "t2m", "level": "plev"})
    dataset = dataset.isel(latitude=slice(None, None, -1))
    dataset["t2m"].attrs["units"] = "degC"
    dataset = dataset.assign_coords(longitude=[-180, -90, 0, 90])
    lines = describe_source(opened(dataset)).splitlines()
    assert lines[0].endswith("/0.nc")
    assert lines[1:-1] == [
        "  2m_temperature   ← t2m (time, longitude, latitude), degC → K (× 1 + 273.15), contiguous",
        "  geopotential@850 ← geopotential (time, plev, longitude, latitude), level 2 of 2, "
        "m2 s-2, contiguous",
        "  grid: 4 longitudes 0 … 270, 5 latitudes -72 … 72 (longitudes rolled) "
        "(latitudes reversed)",
        "  time: 12 samples, 6 hours apart, 1979-01-01T00 … 1979-01-03T18",
        "  steps: 3 of 1 day, 1979-01-01 … 1979-01-03, each the mean of 4 samples",
    ]
    assert lines[-1] == "  to read: 0 MB before compression, 1 steps at a time"


def test_a_config_is_read_and_written_back():
    tree = {
        "kind": "zarr",
        "url": "s3://mine/x.zarr",
        "anonymous": False,
        "names": {"2m_temperature": "T"},
        "options": {"endpoint_url": "http://127.0.0.1:9000", "requester_pays": True},
        "retry": {"attempts": 3},
    }
    config = from_tree(ZarrSource, tree, "test")
    assert (config.options["requester_pays"], config.retry.attempts) == (True, 3)
    assert from_tree(ZarrSource, to_tree(config), "test") == config
    with pytest.raises(ConfigError, match=r"retry\.attempts"):
        from_tree(ZarrSource, {**tree, "retry": {"attempts": 0}}, "test")


def test_the_sample_that_comes_with_the_package():
    source = open_source(SampleSource(), tuple(map(parse, PUBLISHED)), last_day="1979-03-01")
    assert (len(source.days), source.samples_per_step, source.read_chunk) == (60, 1, 60)
    fields = source.read_steps(58, 60)
    assert fields.shape == (2, 5, 64, 32)
    assert 200 < fields[:, 0].min() < fields[:, 0].max() < 330
    assert SampleSource().is_simulated


def test_licences():
    assert "SPEEDY" in SampleSource().licence
    era5 = "gs://weatherbench2/datasets/era5/1959-2023_01_10-6h-64x32.zarr"
    assert "Copernicus" in ZarrSource(kind="zarr", url=era5).licence
    assert ZarrSource(kind="zarr", url="mine").licence == ""
    assert NetCDFSource(kind="netcdf", paths="mine").licence == ""


def test_several_patterns_make_one_source(tmp_path, make_dataset):
    dataset = make_dataset(days=6)
    for year, days in (("a", slice(0, 2)), ("b", slice(2, 6))):
        dataset.isel(time=days).to_netcdf(tmp_path / f"{year}.nc", engine="h5netcdf")
    tree = {"kind": "netcdf", "paths": [f"{tmp_path}/b.nc", f"{tmp_path}/*.nc"]}
    source = open_source(from_tree(NetCDFSource, tree, "test"), VARIABLES)
    assert len(source.parts) == 2  # b.nc, which both match, is read once
    assert_allclose(source.read_steps(0, 6), expected(dataset), rtol=1e-6)
    for paths, message in (
        ([], "paths"),
        ([f"{tmp_path}/a.nc", f"{tmp_path}/c.nc"], "c.nc' match"),
    ):
        with pytest.raises(ConfigError, match=message):
            open_source(from_tree(NetCDFSource, tree | {"paths": paths}, "test"), VARIABLES)
