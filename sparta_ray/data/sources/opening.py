"""Opening what a config names, by path or URL: the data sets in it, with no field read."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import fsspec
import xarray as xr
import zarr
from fsspec.implementations.local import LocalFileSystem
from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore

from sparta_ray.base.errors import ConfigError
from sparta_ray.data.retry import ONCE, RetryConfig, reached, retried
from sparta_ray.data.sources.config import NetCDFSource, SampleSource, SourceConfig, ZarrSource
from sparta_ray.data.sources.guard import GuardedStore
from sparta_ray.data.sources.shard_index import ShardIndex

# It logs, with a traceback, every failure that is tried again or said in words here.
logging.getLogger("gcsfs").setLevel(logging.CRITICAL)

REMOTE_FILE = {"block_size": 2**20, "cache_type": "blockcache", "cache_options": {"maxblocks": 16}}
"""A NetCDF file is read here and there: 16 MiB of it are kept."""

_S3, _AZURE, _GOOGLE = {"anon": True}, {"anon": True}, {"token": "anon"}

ANONYMOUS: dict[str, dict[str, Any]] = {
    "gs": _GOOGLE,
    "gcs": _GOOGLE,
    "s3": _S3,
    "s3a": _S3,
    "az": _AZURE,
    "abfs": _AZURE,
}
"""How each kind of bucket is told that there are no credentials."""

CHANGES = ("size", "mtime", "updated", "LastModified", "last_modified", "etag", "ETag", "md5Hash")
"""What file systems say of a file that changes when its bytes do."""


@dataclass(frozen=True)
class Opened:
    """A data set whose fields are still where they were.

    Attributes:
        dataset: Coordinates and lazy variables; times not decoded yet.
        origin: Its path or URL.
        remote: Whether reading it takes a network.
        retry: How patiently to read it.
        stamp: Returns what tells whether the bytes that hold an array's value at some indices
            have changed, without reading them.
    """

    dataset: xr.Dataset
    origin: str
    remote: bool
    retry: RetryConfig
    stamp: Callable[[str, tuple[int, ...]], str]


def open_files(config: SourceConfig) -> list[Opened]:
    """Open every data set that the config names.

    Raises:
        ConfigError: There is nothing, or it is not what the config says.
        ReadError: It cannot be reached.
    """
    match config:
        case SampleSource():
            # Each job and node unpacks the package for itself: place and time say nothing.
            opened = open_files(config.files)
            return [replace(each, stamp=lambda *_: "of the package") for each in opened]
        case NetCDFSource():
            return _open_netcdf(config)
        case ZarrSource():
            return [_open_zarr(config)]


def _open_zarr(config: ZarrSource) -> Opened:
    filesystem, root = filesystem_of(config, config.url)
    remote = not isinstance(filesystem, LocalFileSystem)
    retry = config.retry if remote else ONCE
    inner: Store = LocalStore(root, read_only=True)
    if remote:
        options = _options(config, config.url)
        inner = FsspecStore.from_url(config.url, storage_options=options, read_only=True)
    store = GuardedStore(inner, config.url, retry, config.missing_chunks == "fill")
    try:
        dataset = xr.open_zarr(store, chunks=None, decode_times=False)
    except FileNotFoundError as error:
        raise ConfigError(f"data.source.url {config.url!r}: no Zarr store there") from error

    group = cache(lambda: zarr.open_group(store, mode="r"))
    for name, variable in dataset.data_vars.items():
        array = group()[str(name)] if variable.encoding.get("shards") else None
        if isinstance(array, zarr.Array) and (index := ShardIndex.of(array)):
            store.indices[str(name)] = index

    def stamp(name: str, indices: tuple[int, ...]) -> str:
        array = group()[name]
        assert isinstance(array, zarr.Array)
        stored = array.shards or array.chunks
        place = tuple(index // size for index, size in zip(indices, stored, strict=True))
        return _stat(filesystem, f"{root}/{name}/{array.metadata.encode_chunk_key(place)}", retry)

    return Opened(dataset, config.url, remote, retry, stamp)


def _open_netcdf(config: NetCDFSource) -> list[Opened]:
    opened: dict[str, Opened] = {}  # a file that two patterns match is read once
    for pattern in config.patterns:
        for each in _open_pattern(config, pattern):
            opened.setdefault(each.origin, each)
    return list(opened.values())


def _open_pattern(config: NetCDFSource, pattern: str) -> list[Opened]:
    filesystem, path = filesystem_of(config, pattern)
    retry = ONCE if isinstance(filesystem, LocalFileSystem) else config.retry
    paths = retried(lambda: sorted(filesystem.glob(path)), retry, pattern)
    if not paths:
        raise ConfigError(f"data.source.paths {pattern!r} matches no file")
    return [_open_one(filesystem, path, retry) for path in paths]


def _open_one(filesystem: Any, path: str, retry: RetryConfig) -> Opened:
    remote = not isinstance(filesystem, LocalFileSystem)
    dataset = retried(lambda: _open_file(filesystem, path, remote), retry, path)
    return Opened(dataset, path, remote, retry, lambda *_: _stat(filesystem, path, retry))


def _open_file(filesystem: Any, path: str, remote: bool) -> xr.Dataset:
    """Open a NetCDF file of either format, told apart by their first bytes."""
    classic = filesystem.read_block(path, 0, 3) == b"CDF"
    file = filesystem.open(path, **REMOTE_FILE) if remote else path
    engine = "scipy" if classic else "h5netcdf"
    return xr.open_dataset(file, engine=engine, cache=False, decode_times=False)


def filesystem_of(config: NetCDFSource | ZarrSource, url: str) -> tuple[Any, str]:
    """Return the file system of a URL of a source, and the path there.

    Raises:
        ConfigError: The URL is not understood, or its driver not installed.
    """
    with reached(url):
        try:
            filesystem, root = fsspec.core.url_to_fs(url, **_options(config, url))
        except ImportError as error:
            raise ConfigError(
                f"data.source: {url!r} needs a package that is not installed: {error}; "
                "for gs:// it is pip install 'sparta-ray[gcs]', for s3:// 'sparta-ray[s3]'"
            ) from error
        except ValueError as error:
            raise ConfigError(f"data.source: {url!r} cannot be opened: {error}") from error
    return filesystem, root


def _options(config: NetCDFSource | ZarrSource, url: str) -> dict[str, Any]:
    """Return what the file system of `url` is made with."""
    *caches, last = url.split("::")
    protocol = last.partition("://")[0]
    options = {**(ANONYMOUS.get(protocol, {}) if config.anonymous else {}), **config.options}
    return {protocol: options} if caches else options


def _stat(filesystem: Any, path: str, retry: RetryConfig) -> str:
    try:
        info = retried(lambda: filesystem.info(path), retry, path)
    except FileNotFoundError:
        return f"{path}: absent"
    return f"{path}: " + ", ".join(f"{key} {info[key]}" for key in CHANGES if key in info)
