"""Sources in a bucket, read by the real gcsfs from a server on this machine."""

import types
from functools import partial

import gcsfs.retry
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sparta_ray.base.errors import ConfigError, ReadError
from sparta_ray.base.variables import parse
from sparta_ray.data.retry import RetryConfig
from sparta_ray.data.sources import NetCDFSource, ZarrSource, open_source
from tests.gcs import FakeGCS

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")

LABELS = ("2m_temperature", "geopotential@850", "geopotential@500")
DAYS = 24
ENCODINGS = {
    2: {"2m_temperature": {"chunks": (8, 4, 5)}, "geopotential": {"chunks": (4, 2, 4, 5)}},
    3: {
        "2m_temperature": {"chunks": (4, 4, 5), "shards": (48, 4, 5)},
        "geopotential": {"chunks": (4, 2, 4, 5), "shards": (48, 2, 4, 5)},
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_dataset):
    """A bucket `b` with the same weather in three formats."""
    folder = tmp_path_factory.mktemp("gcs")
    dataset = make_dataset(days=DAYS, per_day=4)
    for zarr_format, encoding in ENCODINGS.items():
        path = folder / f"b/{zarr_format}.zarr"
        dataset.to_zarr(path, zarr_format=zarr_format, consolidated=True, encoding=encoding)
    for half, steps in enumerate((slice(0, 48), slice(48, 96))):
        dataset.isel(time=steps).to_netcdf(folder / f"b/{half}.nc", engine="h5netcdf")
    return folder


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    """Let gcsfs, which waits seconds before its own attempts, hardly wait."""
    asyncio = gcsfs.retry.asyncio
    quick = types.SimpleNamespace(sleep=lambda seconds: asyncio.sleep(seconds / 1000))
    monkeypatch.setattr(gcsfs.retry, "asyncio", quick)


@pytest.fixture
def serve(folder):
    """Return a function that starts a server."""
    return partial(FakeGCS, folder)


def in_bucket(server, zarr_format, **settings):
    retry = RetryConfig(attempts=3, first_wait_s=0.01)
    url = f"gs://b/{zarr_format}.zarr"
    config = ZarrSource(kind="zarr", url=url, options=server.options, retry=retry, **settings)
    return open_source(config, tuple(map(parse, LABELS)))


@pytest.fixture(scope="module")
def fields(folder):
    """The weather, read from the local folder."""
    config = ZarrSource(kind="zarr", url=f"{folder}/b/2.zarr")
    return open_source(config, tuple(map(parse, LABELS))).read_steps(0, DAYS)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_bucket_reads_like_a_folder(serve, fields, zarr_format):
    with serve() as server:
        source = in_bucket(server, zarr_format)
        assert_array_equal(source.read_steps(0, DAYS), fields)
        assert source.signature == in_bucket(server, zarr_format).signature


def test_every_chunk_is_asked_for_once(serve):
    with serve() as server:
        source = in_bucket(server, 2)
        assert not any("/geopotential/" in key for key in server.served)
        assert source.read_chunk == 2
        for start in range(0, DAYS, source.read_chunk):
            source.read_steps(start, start + source.read_chunk)
        prefix = "b/2.zarr/"
        chunks = [f"{prefix}2m_temperature/{n}.0.0" for n in range(12)]
        chunks += [f"{prefix}geopotential/{n}.0.0.0" for n in range(24)]  # two levels, one read
        assert {key: server.served[key] for key in chunks} == dict.fromkeys(chunks, 1)
        assert all(server.served[key] == 1 for key in server.served)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_busy_server_and_bodies_cut_short_change_nothing(serve, fields, zarr_format):
    with serve(busy=0.1, cut=0.1, seed=zarr_format) as server:
        assert_array_equal(in_bucket(server, zarr_format).read_steps(0, DAYS), fields)
        assert server.failed["busy"] > 0
        assert server.failed["cut"] > 0


def test_a_short_body_that_is_announced_as_such_is_read_again(serve, fields):
    with serve() as server:
        source = in_bucket(server, 2)
        server.faults["b/2.zarr/2m_temperature/0.0.0"] = ["short"]
        assert_array_equal(source.read_steps(0, 2), fields[:2])
        server.faults["b/2.zarr/2m_temperature/1.0.0"] = ["short"] * 9
        message = r"2m_temperature from 1979-01-01T.* to 1979-01-04T.*not decode .* 3 attempts"
        with pytest.raises(ReadError, match=message):
            source.read_steps(0, 4)


def test_giving_up_names_the_chunk_and_the_attempts(serve):
    with serve() as server:
        source = in_bucket(server, 2)
        server.faults["b/2.zarr/geopotential/0.0.0.0"] = ["busy"] * 99
        message = (
            r"geopotential@850, geopotential@500 from 1979-01-01T.*could not read "
            r"gs://b/2\.zarr/geopotential/0\.0\.0\.0 in 3 attempts"
        )
        with pytest.raises(ReadError, match=message):
            source.read_steps(0, 1)


def test_a_server_that_does_not_answer(serve, fields):
    with serve() as server:
        server.faults["b/2.zarr/2m_temperature/0.0.0"] = ["slow"]
        patient = RetryConfig(attempts=2, first_wait_s=0.01, request_s=0.3)
        config = ZarrSource(kind="zarr", url="gs://b/2.zarr", options=server.options, retry=patient)
        source = open_source(config, tuple(map(parse, LABELS)))
        assert_array_equal(source.read_steps(0, 2), fields[:2])
        assert server.failed["slow"] == 1


def test_a_chunk_that_is_not_there(serve, folder, fields):
    chunk = folder / "b/2.zarr/2m_temperature/3.0.0"
    kept = chunk.read_bytes()
    chunk.unlink()
    try:
        with serve() as server:
            source = in_bucket(server, 2)
            assert_array_equal(source.read_steps(0, 6), fields[:6])
            with pytest.raises(ReadError, match=r"the store has no chunk gs://b/2\.zarr/2m_temp"):
                source.read_steps(6, 7)
            filled = in_bucket(server, 2, missing_chunks="fill").read_steps(6, 9)
            assert_array_equal(np.isnan(filled).all(axis=(2, 3))[:, 0], [True, True, False])
    finally:
        chunk.write_bytes(kept)


def test_what_may_not_be_read(serve):
    with serve() as server:
        source = in_bucket(server, 2)
        server.faults["b/2.zarr/2m_temperature/0.0.0"] = ["forbidden"]
        with pytest.raises(
            ReadError, match="permission denied, or no credentials: a public bucket is read with"
        ):
            source.read_steps(0, 1)
        assert server.served["b/2.zarr/2m_temperature/0.0.0"] == 1


def test_a_bucket_that_answers_late_has_been_reached(serve):
    with serve() as server:
        server.faults["b/2.zarr/zarr.json"] = ["slow"] * 9
        retry = RetryConfig(first_answer_s=0.3)
        url = "gs://b/2.zarr"
        ZarrSource(kind="zarr", url=url, options=server.options, retry=retry).check_reach()
        assert server.failed["slow"] > 0


def test_a_bucket_without_the_store(serve):
    with serve() as server, pytest.raises(ConfigError, match=r"gs://b/4\.zarr': no Zarr store"):
        in_bucket(server, 4)


def test_netcdf_files_in_a_bucket(serve, fields):
    with serve(busy=0.05) as server:
        config = NetCDFSource(kind="netcdf", paths="gs://b/*.nc", options=server.options)
        source = open_source(config, tuple(map(parse, LABELS)))
        assert_array_equal(source.read_steps(10, 14), fields[10:14])


def test_any_server_of_files(serve, fields):
    with serve(busy=0.05, cut=0.05) as server:
        retry = RetryConfig(first_wait_s=0.01)
        config = ZarrSource(kind="zarr", url=f"{server.plain}/b/o/2.zarr", retry=retry)
        source = open_source(config, tuple(map(parse, LABELS)))
        assert_array_equal(source.read_steps(0, DAYS), fields)
        assert server.failed["cut"] > 0


def test_a_host_that_does_not_exist():
    options = {"endpoint_url": "http://nowhere.invalid"}
    config = ZarrSource(kind="zarr", url="gs://b/2.zarr", options=options)
    with pytest.raises(ReadError, match="the host is unknown: check the URL and the network"):
        open_source(config, tuple(map(parse, LABELS)))
