"""Zarr stores: what is read of them at a time, and what that costs."""

import tracemalloc

import pytest
from numpy.testing import assert_allclose

from sparta_ray.data.sources import (
    ZarrSource,
    open_source,
    reading,
)
from tests.sources import CHUNKS, VARIABLES, expected

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_zarr_source(zarred, make_dataset, zarr_format):
    dataset = make_dataset(days=3, per_day=4)
    source, _ = zarred(dataset, zarr_format)
    by_hand = expected(dataset).reshape(3, 4, 2, 4, 5).mean(axis=1)
    assert_allclose(source.read_steps(0, 3), by_hand, rtol=1e-6)


def test_packed_integers(zarred, make_dataset):
    dataset = make_dataset(days=3)
    packing = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": -32768}
    source, _ = zarred(dataset, 2, encoding={"2m_temperature": packing})
    assert_allclose(source.read_steps(0, 3)[:, 0], expected(dataset)[:, 0], atol=0.00501)


def test_steps_that_touch_whole_chunks(zarred, make_dataset):
    encoding = {"2m_temperature": {"chunks": (6, 4, 5)}, "geopotential": {"chunks": (2, 2, 2, 5)}}
    source, _ = zarred(make_dataset(days=24, per_day=4), encoding=encoding)
    assert source.read_chunk == 3  # 12 samples: whole chunks of 6, and whole days of 4
    item = 8
    # Day 0 is 4 samples: one chunk of 6 at the surface; two of 2 with both levels, east and west.
    assert source.bytes_to_read(0, 1) == (6 * 20 + 4 * 2 * 20) * item
    assert source.bytes_to_read(0, 24) == (96 * 20 + 96 * 2 * 20) * item
    assert source.bytes_to_read(0, 24) == sum(
        source.bytes_to_read(d, d + 3) for d in range(0, 24, 3)
    )


@pytest.mark.parametrize(
    ("first_day", "offset"), [(None, 0), ("1979-01-02", 1), ("1979-01-03", 2), ("1979-01-04", 0)]
)
def test_where_the_first_step_lies_in_its_chunk(zarred, make_dataset, first_day, offset):
    encoding = {"2m_temperature": {"chunks": (12, 4, 5)}, "geopotential": {"chunks": (2, 2, 4, 5)}}
    _, path = zarred(make_dataset(days=24, per_day=4), encoding=encoding)
    source = open_source(ZarrSource(kind="zarr", url=str(path)), VARIABLES, first_day)
    assert (source.read_chunk, source.chunk_offset) == (3, offset)


def test_no_step_begins_where_a_chunk_does(zarred, make_dataset):
    dataset = make_dataset(days=25)
    encoding = {name: {"chunks": (5, *dataset[name].shape[1:])} for name in dataset.data_vars}
    _, path = zarred(dataset, encoding=encoding)
    config = ZarrSource(kind="zarr", url=str(path))
    offsets = [open_source(config, VARIABLES, "1979-01-02", step="5d", last_day="1979-01-21")]
    assert [source.chunk_offset for source in offsets] == [0]


def test_blocks_are_cut_where_chunks_end(zarred, make_dataset, monkeypatch):
    dataset = make_dataset(days=40)
    source, _ = zarred(dataset, encoding=CHUNKS)
    channels = source.parts[0].channels[:1]
    monkeypatch.setattr(reading, "LOCAL_BYTES", 9 * 20 * 4)  # nine samples: two chunks
    assert list(reading.blocks(channels, 3, 21)) == [(3, 8), (8, 16), (16, 21)]
    assert_allclose(source.read_steps(3, 21), expected(dataset)[3:21], rtol=1e-6)
    monkeypatch.setattr(reading, "LOCAL_BYTES", 1)  # never less than a chunk
    assert list(reading.blocks(channels, 3, 9)) == [(3, 4), (4, 8), (8, 9)]


def test_reading_takes_memory_for_what_is_read_and_little_more(zarred, make_dataset):
    # The other order of dimensions: a lazy transpose would read point by point, with an index each.
    dataset = make_dataset(days=50, grid=(32, 20)).transpose(..., "latitude", "longitude")
    chunks = {"2m_temperature": (10, 20, 32), "geopotential": (10, 2, 20, 32)}
    encoding = {name: {"chunks": chunk} for name, chunk in chunks.items()}
    source, _ = zarred(dataset, encoding=encoding)
    source.read_steps(0, 1)
    tracemalloc.start()
    fields = source.read_steps(0, 50)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * fields.nbytes  # a quantity in float64: all levels, those wanted, their means


def test_what_is_decoded_at_once_is_bounded(zarred, make_dataset, monkeypatch):
    source, _ = zarred(make_dataset(days=12), encoding=CHUNKS)
    channel = source.parts[0].channels[0]  # chunks of 4 x 4 x 5 float64: 640 bytes
    assert reading._requests(channel) == reading.LOCAL_REQUESTS
    monkeypatch.setattr(reading, "IN_FLIGHT_BYTES", 3 * 640 + 1)
    assert reading._requests(channel) == 3
    monkeypatch.setattr(reading, "IN_FLIGHT_BYTES", 1)
    assert reading._requests(channel) == 1
