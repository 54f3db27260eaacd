"""Streaming against a prepared store of the same source: the same values, bit for bit."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_array_equal

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.grids import EquiangularGrid
from sparta_ray.data.batches.builder import BatchBuilder, BatchRecipe
from sparta_ray.data.batches.compact import Needs
from sparta_ray.data.plan.locality import LocalityConfig
from sparta_ray.data.plan.masking import MaskConfig
from sparta_ray.data.plan.sampling import SamplingConfig, batches_per_epoch, make_plan
from sparta_ray.data.plan.schedule import Schedule
from sparta_ray.data.plan.splits import Split
from sparta_ray.data.plan.views import ViewConfig
from sparta_ray.data.preparation.recipe import DataConfig, read_recipe
from sparta_ray.data.preparation.shards import finish, lay_out, record_settings, write_shard
from sparta_ray.data.preparation.streaming import (
    check_stream,
    open_store,
    stream_block,
    working_steps,
)
from sparta_ray.data.sources import NetCDFSource
from sparta_ray.data.store.block_cache import BlockCache, CacheConfig
from sparta_ray.data.store.cached_reader import CachedReader
from sparta_ray.data.store.layout import StoreLayout

LABELS = ("geopotential@850", "2m_temperature", "specific_humidity@850")
LOCAL = SamplingConfig(
    rows_per_batch=15,
    max_neighbour_days=2,
    hard_days=(4, 9),
    min_soft_days=20,
    locality=LocalityConfig(block_steps=10, blocks_at_once=2),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_dataset):
    folder = tmp_path_factory.mktemp("streamed")
    dataset = make_dataset(days=150, per_day=2, grid=(12, 9))
    encoding = {name: {"chunksizes": (14, 12, 9)} for name in ("2m_temperature",)}
    dataset.to_netcdf(folder / "source.nc", engine="h5netcdf", encoding=encoding)
    return folder


@pytest.fixture(scope="module")
def config(folder):
    return DataConfig(
        source=NetCDFSource(kind="netcdf", paths=f"{folder}/source.nc"),
        store=f"{folder}/streamed.zarr",
        variables=LABELS,
        grid=EquiangularGrid(kind="equiangular", longitudes=5, latitudes=4),
        mode="stream",
        cache=CacheConfig(folder=f"{folder}/cache"),
    )


def prepared(config):
    recipe = read_recipe(config)
    finished = lay_out(recipe)
    pending = [n for n in range(recipe.layout.shards) if n not in finished]
    finish(recipe, finished | {n: write_shard(recipe, n) for n in pending})
    return open_store(config.store, config.cache)


@pytest.fixture(scope="module")
def stores(config, folder):
    """The same source, streamed and prepared."""
    copy = replace(config, mode="prepared", store=f"{folder}/prepared.zarr")
    return prepared(config), prepared(copy)


def test_a_streaming_store_knows_all_but_the_fields(stores, folder):
    streamed, copied = stores
    assert streamed.fingerprint == copied.fingerprint
    assert_array_equal(streamed.statistics.squares, copied.statistics.squares)
    assert (len(streamed), streamed.grid, streamed.variables) == (150, (5, 4), LABELS)
    assert streamed.layout.units == copied.layout.units
    assert not (folder / "streamed.zarr" / "fields").exists()
    with xr.open_zarr(streamed.path, chunks=None) as dataset:
        assert "fields" not in dataset


def test_any_days_are_the_prepared_ones(stores):
    streamed, copied = stores
    for days in ([149, 0, 15, 16, 16, 77], [3], range(150)):
        days = np.array(days)
        assert_array_equal(streamed.read(days), copied.read(days))
        assert_array_equal(streamed.read_standardised(days), copied.read_standardised(days))
    assert streamed.read(np.array([], dtype=np.int64)).shape == (0, 3, 5, 4)


def test_what_was_read_can_be_changed_without_changing_the_cache(stores):
    streamed, copied = stores
    streamed.read(np.arange(20))[:] = 0
    assert_array_equal(streamed.read(np.arange(20)), copied.read(np.arange(20)))


def test_every_array_of_every_batch_is_the_same(stores, config):
    parts = {"train": Split(0, 75), "validation": Split(75, 140)}
    steps = [batches_per_epoch(part, LOCAL) for part in parts.values()]
    recipe = BatchRecipe(
        store="",
        splits=parts,
        sampling=LOCAL,
        views=ViewConfig(resize=(9, 7), crop=(7, 5), filter=3),
        mask=MaskConfig(),
        seed=3,
        schedule=Schedule(2, *steps),
        needs=Needs(contrastive=True, input=True),
    )
    streamed, copied = (
        BatchBuilder(replace(recipe, store=store.path, cache=config.cache), rank=1, ranks=2)
        for store in stores
    )
    for position in range(len(recipe.schedule)):
        ours, theirs = streamed.build(position), copied.build(position)
        assert ours.keys() == theirs.keys()
        for name, values in theirs.items():
            assert_array_equal(ours[name], values, err_msg=name)


def test_a_source_that_changed_is_refused_and_what_is_cached_is_not_read_again(
    config, tmp_path, make_dataset
):
    dataset = make_dataset(days=40, grid=(12, 9))
    dataset.to_netcdf(tmp_path / "source.nc", engine="h5netcdf")
    store = prepared(
        replace(
            config,
            source=NetCDFSource(kind="netcdf", paths=f"{tmp_path}/source.nc"),
            store=f"{tmp_path}/store.zarr",
        )
    )
    before = store.read(np.arange(16))
    dataset["geopotential"].values[30] += 1
    dataset.to_netcdf(tmp_path / "changed.nc", engine="h5netcdf")
    (tmp_path / "changed.nc").replace(tmp_path / "source.nc")
    again = open_store(store.path, config.cache)
    assert_array_equal(again.read(np.arange(16)), before)
    with pytest.raises(ConfigError, match=r"the source has changed .*\n  signature: "):
        again.read(np.arange(20))


def test_another_cache_is_no_other_store(stores, config, tmp_path):
    recorded = stores[0].provenance
    record_settings(replace(config, cache=CacheConfig(mb=7)))
    assert open_store(config.store).provenance == recorded
    open_store(config.store, CacheConfig(mb=7, folder=str(tmp_path))).read(np.array([80]))
    assert len(list(tmp_path.glob("*/*.npy"))) == 1


def test_blocks_are_whole_chunks_of_sixteen_steps_or_more():
    assert [stream_block(chunk) for chunk in (1, 10, 16, 25, 366)] == [16, 20, 16, 25, 366]


@pytest.fixture
def counting(tmp_path):
    """A function that makes readers of one cache, and the blocks that they have read."""
    read = []

    def read_fields(start, stop):
        read.append((start, stop))
        return np.arange(start, stop, dtype=np.float32).reshape(-1, 1, 1, 1)

    def reader(steps, cached, offset=0):
        cache = BlockCache(tmp_path, cached // 16 * 16 * 4)
        return CachedReader(read_fields, (steps, 1, 1, 1), cache, offset=offset)

    return reader, read


def test_the_last_block_is_short_and_none_is_read_twice(counting):
    reader, read = counting
    stream = reader(steps=40, cached=1000)
    assert_array_equal(stream.read(np.array([39, 5, 20])).ravel(), [39, 5, 20])
    assert_array_equal(stream.read(np.array([38, 39])).ravel(), [38, 39])
    assert read == [(0, 16), (16, 32), (32, 40)]


def test_blocks_begin_where_chunks_do(counting):
    reader, read = counting
    stream = reader(steps=40, cached=1000, offset=6)
    assert_array_equal(stream.read(np.arange(40)).ravel(), np.arange(40))
    assert_array_equal(stream.read(np.array([39, 9, 10, 0])).ravel(), [39, 9, 10, 0])
    assert read == [(0, 10), (10, 26), (26, 40)]


def test_blocks_that_are_cut_otherwise_are_kept_apart(tmp_path):
    def read_fields(start, stop):
        return np.arange(start, stop, dtype=np.float32).reshape(-1, 1, 1, 1)

    days = np.datetime64("1979-01-01") + np.arange(40)
    layout = StoreLayout(days, ("a",), ("K",), np.zeros(1), np.zeros(1), {})
    config = CacheConfig(folder=str(tmp_path))
    for block_steps, offset in ((16, 0), (20, 0), (20, 5)):
        reader = CachedReader.of(read_fields, layout, "same", config, block_steps, offset)
        assert_array_equal(reader.read(np.arange(40)).ravel(), np.arange(40))
    assert len(list(tmp_path.iterdir())) == 3


def test_builders_share_what_an_epoch_reads(counting):
    """Three builders take turns; with room for a batch's blocks, three reads of all suffice."""
    split = Split(0, 1_000)
    sampling = SamplingConfig(
        rows_per_batch=96,
        min_soft_days=200,
        locality=LocalityConfig(block_steps=64, blocks_at_once=4),
    )
    room = working_steps(sampling, block_steps=16)
    assert room == 4 * 16 * (10 + 5)  # 64 days with 45 to both sides, and 64 with 5
    make, read = counting
    readers = [make(len(split), cached=int(1.3 * room)) for _ in range(3)]
    plan = make_plan(split, sampling, ViewConfig(), MaskConfig(), 0, "train", 0)
    for step in range(len(plan)):
        rows = plan.batch_rows(step)
        day, delta = plan.day[rows], plan.delta[rows]
        for days in (day, day + delta, day - delta):
            fields = readers[step % 3].read(days)
            assert_array_equal(fields.ravel(), days)
    assert 1 <= len(read) / (len(split) / 16) <= 3.5


def test_a_cache_too_small_for_the_plan_is_refused():
    days = np.datetime64("1959-01-01") + np.arange(23_386)
    published = StoreLayout(days, LABELS[:1] * 5, ("",) * 5, np.zeros(64), np.zeros(32), {})
    layout = replace(published, provenance={"read_chunk": 1})  # 914 MiB, read in blocks of 16
    check_stream(CacheConfig(mb=914), SamplingConfig(), layout)
    with pytest.raises(ConfigError, match=r"set sampling\.locality.* or .*mb to 914,"):
        check_stream(CacheConfig(mb=913), SamplingConfig(), layout)
    local = SamplingConfig(locality=LocalityConfig(block_steps=64, blocks_at_once=16))
    check_stream(CacheConfig(mb=150), local, layout)  # 16 times 15 blocks
    with pytest.raises(ConfigError, match=r"mb 149 is less than the 150 MiB"):
        check_stream(CacheConfig(mb=149), local, layout)
    check_stream(CacheConfig(mb=50), replace(local, negatives=False), layout)
    large_chunks = replace(published, provenance={"read_chunk": 100})
    with pytest.raises(ConfigError, match=r"mb 150 is less than the 188 MiB"):
        check_stream(CacheConfig(mb=150), local, large_chunks)


def test_a_cache_that_cannot_be_made_is_named(stores, tmp_path):
    (tmp_path / "file").write_text("")
    message = r"needs a cache on this machine.*file.*set data\.cache\.folder"
    with pytest.raises(ConfigError, match=message):
        open_store(stores[0].path, CacheConfig(folder=str(tmp_path / "file/cache"))).read(
            np.arange(1)
        )
