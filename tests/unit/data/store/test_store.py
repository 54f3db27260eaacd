import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from numpy.testing import assert_allclose, assert_array_equal

from sparta_ray.base.errors import ConfigError, ReadError
from sparta_ray.data.store.block_cache import CacheConfig
from sparta_ray.data.store.layout import StoreLayout
from sparta_ray.data.store.readers import MappedReader
from sparta_ray.data.store.statistics import Statistics
from sparta_ray.data.store.store import Store, read_meta
from sparta_ray.data.store.writer import (
    check_disk_space,
    mark_complete,
    write_file,
    write_shard,
    write_template,
)
from tests.gcs import FakeGCS

DAYS = 400  # two shards, the second short
PICK = np.array([399, 0, 365, 366, 17, 366])


@pytest.fixture(scope="module")
def path(make_store):
    return make_store(days=DAYS, training_days=240)


@pytest.fixture(scope="module")
def fields(weather):
    return weather(DAYS, ("2m_temperature", "geopotential@850", "specific_humidity@850"), (8, 6))


def rewrite_fields(path, **options):
    """Replace the store's fields by the same values, stored in another way."""
    root = zarr.open_group(path, mode="r+", use_consolidated=False)
    values = root["fields"][:]
    del root["fields"]
    root.create_array("fields", data=values, **options)
    zarr.consolidate_metadata(path)


def test_it_reads_what_was_written(path, fields):
    store = Store(path)
    assert len(store) == DAYS
    assert store.variables == ("2m_temperature", "geopotential@850", "specific_humidity@850")
    assert store.grid == (8, 6)
    assert store.days[0] == np.datetime64("1979-01-01")
    assert store.days[-1] == np.datetime64("1980-02-04")
    assert_array_equal(store.longitude, np.arange(0, 360, 45))
    assert_array_equal(store.latitude, [-75, -45, -15, 15, 45, 75])
    assert_array_equal(store.read(PICK), fields[PICK])
    assert store.read(np.array([], dtype=np.int64)).shape == (0, 3, 8, 6)


def test_a_local_store_is_mapped_and_equals_a_plain_zarr_read(path):
    store = Store(path)
    assert isinstance(store._reader, MappedReader)
    assert_array_equal(store.read(PICK), zarr.open_group(path, mode="r")["fields"][:][PICK])


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
@pytest.mark.parametrize(
    "options",
    [
        {"chunks": (1, 3, 8, 6), "shards": (366, 3, 8, 6)},  # compressed, the same shards
        {"chunks": (50, 3, 8, 6), "compressors": None},
        {"chunks": (1, 3, 4, 6), "shards": (366, 3, 8, 6), "compressors": None},
        {"chunks": (1, 3, 8, 6), "compressors": None},
    ],
)
def test_a_rewritten_store_is_read_through_zarr(make_store, tmp_path, fields, options):
    path = make_store(days=DAYS, training_days=240, path=tmp_path / "rewritten.zarr")
    rewrite_fields(path, **options)
    assert_array_equal(Store(path).read(PICK), fields[PICK])
    assert_array_equal(Store(path).read(PICK), fields[PICK])


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
def test_damage_of_a_local_store_is_not_hidden_by_what_was_read_before(make_store, tmp_path):
    path = make_store(days=DAYS, training_days=240, path=tmp_path / "damaged.zarr")
    rewrite_fields(path, chunks=(1, 3, 8, 6), shards=(366, 3, 8, 6))  # cannot be mapped
    Store(path).read(PICK)
    shard = Path(path, "fields/c/0/0/0/0")
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(ReadError, match="if it is damaged, copy it again"):
        Store(path).read(PICK)


@pytest.fixture
def bucket(make_store, tmp_path, monkeypatch):
    """A store in a bucket, by URL, and its server."""
    make_store(days=DAYS, training_days=240, path=tmp_path / "bucket" / "a.zarr")
    with FakeGCS(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield "gs://bucket/a.zarr", server


def asked(server):
    """Return how often the fields' bytes were asked for."""
    return sum(count for name, count in server.served.items() if "/fields/c/" in name)


def test_a_store_in_a_bucket_is_read_once_for_all_of_a_node(bucket, tmp_path, fields):
    url, server = bucket
    cache = CacheConfig(mb=1, folder=f"{tmp_path}/cache")
    assert_array_equal(Store(url, cache).read(PICK), fields[PICK])
    once = asked(server)
    assert once > 0
    other = pickle.loads(pickle.dumps(Store(url, cache)))  # as another process would
    assert_array_equal(other.read(PICK), fields[PICK])
    assert_array_equal(other.read(np.array([398, 18])), fields[[398, 18]])  # of the same blocks
    assert asked(server) == once
    assert_array_equal(other.read(np.array([100])), fields[[100]])
    assert asked(server) > once


def test_a_bucket_that_refuses_is_one_error_for_reader_and_writer(bucket):
    url, server = bucket
    server.faults["bucket/a.zarr/zarr.json"] = ["unauthorised"] * 9
    with pytest.raises(ConfigError, match=rf"cannot reach {url}: .*the credentials in the env"):
        Store(url)
    server.faults["bucket/a.zarr/shards/0.json"] = ["unauthorised"] * 9
    with pytest.raises(ConfigError, match=rf"cannot reach {url}: "):
        write_file(url, "shards/0.json", "{}")


def test_a_store_that_a_node_cannot_keep_is_read_as_it_is_asked_for(
    make_store, bucket, tmp_path, weather
):
    url, server = bucket
    labels = ("2m_temperature", "geopotential@850", "specific_humidity@850")
    fields = weather(DAYS, labels, (24, 12))  # 1.4 MB
    make_store(days=DAYS, labels=labels, grid=(24, 12), path=tmp_path / "bucket" / "large.zarr")
    cache = CacheConfig(mb=1, folder=f"{tmp_path}/cache")
    for _ in range(2):
        before = asked(server)
        store = Store(url.replace("a.zarr", "large.zarr"), cache)
        assert_array_equal(store.read(PICK), fields[PICK])
        assert asked(server) > before
    assert not (tmp_path / "cache").exists()


def test_a_node_that_cannot_make_the_caches_folder_reads_all_the_same(bucket, tmp_path, fields):
    (tmp_path / "file").touch()
    cache = CacheConfig(folder=f"{tmp_path}/file/cache")
    assert_array_equal(Store(bucket[0], cache).read(PICK), fields[PICK])


def test_standardised_with_the_training_days_statistics(path, fields):
    store = Store(path)
    training = fields[:240].astype(np.float64)
    mean = training.mean(axis=(0, 2, 3))[:, None, None]
    std = training.std(axis=(0, 2, 3), ddof=1)[:, None, None]
    standardised = store.read_standardised(PICK)
    assert standardised.dtype == np.float32
    assert_allclose(standardised, (fields[PICK] - mean) / std, atol=2e-4)
    assert_allclose(store.to_physical(standardised), fields[PICK], rtol=1e-5)
    assert store.training_days == 240


def test_reading_does_not_change_the_store(path, fields):
    store = Store(path)
    store.read(PICK)[:] = 0
    store.read_standardised(PICK)
    assert_array_equal(store.read(PICK), fields[PICK])


def test_it_is_sent_to_another_process_by_its_path(path, fields):
    store = Store(path)
    store.read(PICK)
    sent = pickle.dumps(store)
    assert len(sent) < 500
    assert_array_equal(pickle.loads(sent).read(PICK), fields[PICK])


def test_xarray_opens_it(path, fields):
    with xr.open_zarr(path, chunks=None) as dataset:
        array = dataset["fields"]
        assert array.dims == ("time", "variable", "longitude", "latitude")
        assert array.attrs["units"] == "K, m2 s-2, kg kg-1"
        day = array.sel(time="1980-01-02", variable="geopotential@850", latitude=-15)
        assert_array_equal(day.values, fields[366, 1, :, 2])
        assert dataset["latitude"].attrs["units"] == "degrees_north"


def test_an_unfinished_store_does_not_open(tmp_path, path):
    layout = StoreLayout(
        days=Store(path).days,
        variables=("a", "b", "c"),
        units=("K", "K", "K"),
        longitude=np.arange(8.0),
        latitude=np.arange(6.0),
        provenance={"title": "half"},
    )
    half = str(tmp_path / "half.zarr")
    write_template(half, layout)
    write_shard(half, 0, np.zeros((366, 3, 8, 6), dtype=np.float32))
    with pytest.raises(ConfigError, match=r"half\.zarr is not complete; run .* again to continue"):
        Store(half)
    assert read_meta(half) == {"complete": False, "provenance": {"title": "half"}}
    assert (layout.shape, layout.bytes, layout.shards) == ((400, 3, 8, 6), 400 * 3 * 48 * 4, 2)
    assert layout.shard_days(1) == (366, 400)


def test_where_there_is_no_store(tmp_path):
    with pytest.raises(ConfigError, match=r"no store at .*nothing\.zarr; run jobs/prepare_data"):
        Store(str(tmp_path / "nothing.zarr"))
    assert read_meta(str(tmp_path / "nothing.zarr")) is None


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_somebody_elses_zarr_is_neither_opened_nor_overwritten(tmp_path, path, zarr_format):
    other = str(tmp_path / "other.zarr")
    zarr.create_group(other, zarr_format=zarr_format, attributes={"title": "mine"})
    with pytest.raises(ConfigError):
        Store(other)
    with pytest.raises(ConfigError, match="holds something other than a store; choose another"):
        write_template(other, layout_like(path))
    assert zarr.open_group(other, mode="r").attrs["title"] == "mine"
    assert list(zarr.open_group(other, mode="r").array_keys()) == []


def test_a_folder_of_other_files_is_left_alone(tmp_path, path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="choose another"):
        write_template(str(tmp_path), layout_like(path))
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def layout_like(path):
    store = Store(path)
    return StoreLayout(
        store.days, store.variables, ("", "", ""), store.longitude, store.latitude, {}
    )


def made(path, layout, fields=None):
    """A complete store of `fields`, or without any."""
    write_template(path, layout, fields is not None)
    for shard in range(layout.shards if fields is not None else 0):
        start, stop = layout.shard_days(shard)
        write_shard(path, start, fields[start:stop])
    mark_complete(path, Statistics.of(np.ones((2, 3, 8, 6))), 2, "print")
    return Store(path)


def test_steps_of_hours_in_shards_of_any_length(tmp_path, path, weather):
    fields = weather(10, ("2m_temperature",) * 3, (8, 6))
    fields[3, 1, 2, 4] = np.nan
    hours = np.datetime64("1979-01-01T06") + 6 * np.arange(10)
    layout = replace(layout_like(path), days=hours, shard_steps=4)
    assert [layout.shard_days(shard) for shard in range(layout.shards)] == [(0, 4), (4, 8), (8, 10)]
    store = made(str(tmp_path / "hours.zarr"), layout, fields)
    assert_array_equal(store.days, hours)
    assert store.days.dtype == np.dtype("datetime64[h]")
    assert store.layout.shard_steps == 4
    assert isinstance(store._reader, MappedReader)
    days = np.array([9, 3, 4, 3, 0])
    assert_array_equal(store.read(days), fields[days])
    with xr.open_zarr(store.path, chunks=None) as dataset:
        assert_array_equal(dataset["time"].values, hours)
        assert_array_equal(dataset["fields"].values, fields)


def test_a_store_to_stream_from_holds_all_but_fields(tmp_path, path):
    layout = replace(layout_like(path), provenance={"recipe": {"mode": "stream"}})
    store = made(str(tmp_path / "stream.zarr"), layout)
    assert (len(store), store.grid) == (DAYS, (8, 6))
    assert store.layout.units == layout.units
    with xr.open_zarr(store.path, chunks=None) as dataset:
        assert list(dataset.variables) == ["latitude", "longitude", "time", "variable"]


def test_a_shard_that_is_not_there_is_no_gap_in_the_weather(make_store, tmp_path):
    path = make_store(days=DAYS, path=tmp_path / "copied.zarr")
    (tmp_path / "copied.zarr/fields/c/1/0/0/0").unlink()
    with pytest.raises(ConfigError, match=r"the store lacks .*/fields/c/1/0/0/0"):
        Store(path).read(PICK)


def test_a_shard_that_was_cut_short_names_the_store(make_store, tmp_path):
    path = make_store(days=DAYS, path=tmp_path / "cut.zarr")
    shard = tmp_path / "cut.zarr/fields/c/0/0/0/0"
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(ReadError, match=rf"cannot read the store {path}: .*; if it is damaged, co"):
        Store(path).read(PICK)


def test_a_later_shard_that_was_cut_short_is_named_when_it_is_read(make_store, tmp_path, fields):
    path = make_store(days=DAYS, path=tmp_path / "later.zarr")
    shard = tmp_path / "later.zarr/fields/c/1/0/0/0"
    shard.write_bytes(shard.read_bytes()[:1000])
    store = Store(path)
    assert_array_equal(store.read(PICK[1:3]), fields[PICK[1:3]])
    with pytest.raises(ReadError, match=rf"{shard} is damaged: copy it again"):
        store.read(PICK)


def test_a_disk_that_is_too_small_is_refused_beforehand(tmp_path):
    check_disk_space(str(tmp_path / "new/folder/a.zarr"), 1000)
    with pytest.raises(ConfigError, match=r"needs 1,000,000,000,000 MB more, but its disk has"):
        check_disk_space(str(tmp_path / "new/folder/a.zarr"), 1e18)
    check_disk_space("memory://bucket/a.zarr", 1e18)
