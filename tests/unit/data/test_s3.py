"""Sources in a bucket of S3, read by the real s3fs, and on plain servers, from this machine."""

import http.server
import socket
import threading
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sparta_ray.base.errors import ReadError
from sparta_ray.base.variables import parse
from sparta_ray.data.retry import RetryConfig
from sparta_ray.data.sources import NetCDFSource, ZarrSource, open_source
from tests.s3 import FakeS3

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")

VARIABLES = tuple(map(parse, ("2m_temperature", "geopotential@850")))
QUICK = RetryConfig(attempts=3, first_wait_s=0.01)
BRIEF = replace(QUICK, first_answer_s=1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_dataset):
    """A bucket `b` with the same weather in three formats."""
    folder = tmp_path_factory.mktemp("s3")
    dataset = make_dataset(days=12, per_day=2)
    sharded = {"2m_temperature": {"chunks": (4, 4, 5), "shards": (12, 4, 5)}}
    dataset.to_zarr(folder / "b/2.zarr", zarr_format=2, consolidated=True)
    dataset.to_zarr(folder / "b/3.zarr", zarr_format=3, consolidated=True, encoding=sharded)
    for half in range(2):
        part = dataset.isel(time=slice(12 * half, 12 * half + 12))
        part.to_netcdf(folder / f"b/{half}.nc", engine="h5netcdf")
    return folder


@pytest.fixture(scope="module")
def fields(folder):
    """The weather, read from the local folder."""
    config = ZarrSource(kind="zarr", url=f"{folder}/b/2.zarr")
    return open_source(config, VARIABLES).read_steps(0, 12)


@pytest.fixture
def server(folder):
    with FakeS3(folder) as server:
        yield server


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_bucket_of_s3_reads_like_a_folder(server, fields, zarr_format):
    url = f"s3://b/{zarr_format}.zarr"
    config = ZarrSource(kind="zarr", url=url, options=server.options, retry=QUICK)
    config.check_reach()
    source = open_source(config, VARIABLES)
    assert_array_equal(source.read_steps(0, 12), fields)
    assert source.signature == open_source(config, VARIABLES).signature
    assert any(name.startswith(f"b/{zarr_format}.zarr/geopotential/") for name in server.served)


def test_netcdf_files_in_a_bucket_of_s3(server, fields):
    config = NetCDFSource(kind="netcdf", paths="s3://b/*.nc", options=server.options, retry=QUICK)
    config.check_reach()
    assert_array_equal(open_source(config, VARIABLES).read_steps(2, 9), fields[2:9])


def test_a_busy_and_a_private_bucket_of_s3(server, fields):
    config = ZarrSource(kind="zarr", url="s3://b/2.zarr", options=server.options, retry=QUICK)
    source = open_source(config, VARIABLES)
    server.faults["b/2.zarr/2m_temperature/0.0.0"] = ["busy"]
    assert_array_equal(source.read_steps(0, 1), fields[:1])
    server.faults["b/2.zarr/2m_temperature/0.0.0"] = ["forbidden"] * 9
    with pytest.raises(
        ReadError, match="permission denied, or no credentials: a public bucket is read with"
    ):
        source.read_steps(0, 1)


@pytest.fixture
def plain(folder):
    """A server of files such as many an institute has."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "http://{}:{}".format(*server.server_address)
        server.shutdown()


def test_a_server_of_files(plain, fields):
    config = ZarrSource(kind="zarr", url=f"{plain}/b/2.zarr", retry=QUICK)
    config.check_reach()
    assert_array_equal(open_source(config, VARIABLES).read_steps(0, 12), fields)


def nobody():
    """A port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("url", ["gs://b/x.zarr", "s3://b/x.zarr", "http"])
def test_where_nobody_listens(url):
    endpoint = f"http://127.0.0.1:{nobody()}"
    options = {} if url == "http" else {"endpoint_url": endpoint}
    url = f"{endpoint}/x.zarr" if url == "http" else url
    began = time.monotonic()
    with pytest.raises(ReadError, match=r"did not answer .*127\.0\.0\.1:\d+: Connection refused"):
        ZarrSource(kind="zarr", url=url, options=options, retry=BRIEF).check_reach()
    assert time.monotonic() - began < 30  # the libraries' own patience is minutes
    netcdf = NetCDFSource(kind="netcdf", paths=f"{endpoint}/a.nc", retry=BRIEF)
    with pytest.raises(ReadError, match="check the URL and the network"):
        netcdf.check_reach()


def test_a_host_that_is_unknown_and_one_that_is_silent():
    options = {"endpoint_url": "http://nowhere.invalid"}
    config = ZarrSource(kind="zarr", url="gs://b/x.zarr", options=options, retry=BRIEF)
    with pytest.raises(ReadError, match=r"nowhere\.invalid:80: Name or service not known"):
        config.check_reach()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = {"endpoint_url": "http://{}:{}".format(*silent.getsockname())}
        retry = replace(BRIEF, first_answer_s=0.2)
        with pytest.raises(ReadError, match="takes connections, but does not answer"):
            replace(config, options=options, retry=retry).check_reach()


def test_what_is_not_there_has_been_reached(server):
    ZarrSource(kind="zarr", url="s3://b/none.zarr", options=server.options).check_reach()
    server.faults["b/none.zarr/zarr.json"] = ["forbidden"] * 9
    ZarrSource(kind="zarr", url="s3://b/none.zarr", options=server.options).check_reach()
    assert np.sum([*server.served.values()]) == 0
