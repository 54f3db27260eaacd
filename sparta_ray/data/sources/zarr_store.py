"""A Zarr store by path or URL."""

from dataclasses import replace
from functools import cache
from typing import Literal, Self

import xarray as xr
import zarr
from fsspec.implementations.local import LocalFileSystem
from pydantic.dataclasses import dataclass
from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore

from sparta_ray.base.config import STRICT
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.paths import absolute
from sparta_ray.data.retry import ONCE
from sparta_ray.data.sources.guard import GuardedStore
from sparta_ray.data.sources.kind import Opened
from sparta_ray.data.sources.shard_index import ShardIndex
from sparta_ray.data.sources.storage import StoredSource, file_stamp

COPERNICUS = (
    "Contains modified Copernicus Climate Change Service information (ERA5, Hersbach et al. 2020, "
    "doi:10.1002/qj.3803). Neither the European Commission nor ECMWF is responsible for any use "
    "that may be made of it."
)

ERA5_BUCKETS = ("weatherbench2/datasets/era5", "gcp-public-data-arco-era5")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ZarrSource(StoredSource):
    """A Zarr store, format 2 or 3, by path or any fsspec URL, such as ``gs://weatherbench2/…``.

    Attributes:
        url: Path or fsspec URL of the store.
        missing_chunks: How to treat a chunk that the store lacks: as an ``error``, or as full of
            the array's ``fill`` value. Some writers leave such chunks out, but they are also
            missing from an incomplete copy.
    """

    kind: Literal["zarr"]
    url: str
    missing_chunks: Literal["error", "fill"] = "error"

    @property
    def first_url(self) -> str:
        """The URL of the store's metadata, which every store of format 3 has."""
        return f"{self.url}/zarr.json"

    @property
    def licence(self) -> str:
        """The attribution that ERA5 asks for, if the store is one of its public buckets."""
        return COPERNICUS if any(name in self.url for name in ERA5_BUCKETS) else ""

    def with_absolute_paths(self) -> Self:
        """Return the same store under an absolute path; a URL stays as it is."""
        return replace(self, url=absolute(self.url))

    def open(self) -> list[Opened]:
        """Open the store, with reads that are tried again and chunks that must be there."""
        filesystem, root = self.filesystem(self.url)
        remote = not isinstance(filesystem, LocalFileSystem)
        retry = self.retry if remote else ONCE
        store = GuardedStore(
            self._inner_store(root, remote), self.url, retry, self.missing_chunks == "fill"
        )
        try:
            dataset = xr.open_zarr(store, chunks=None, decode_times=False)
        except FileNotFoundError as error:
            raise ConfigError(f"data.source.url {self.url!r}: no Zarr store there") from error
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
            key = array.metadata.encode_chunk_key(place)
            return file_stamp(filesystem, f"{root}/{name}/{key}", retry)

        return [Opened(dataset, self.url, remote, retry, stamp)]

    def _inner_store(self, root: str, remote: bool) -> Store:
        if not remote:
            return LocalStore(root, read_only=True)
        options = self.filesystem_options(self.url)
        return FsspecStore.from_url(self.url, storage_options=options, read_only=True)
