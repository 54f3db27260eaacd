"""A Zarr store that is patient, and in which a chunk that is not there does not read as a value."""

import asyncio
import re

from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from sparta_ray.base.errors import ReadError
from sparta_ray.data.retry import Attempts, RetryConfig
from sparta_ray.data.sources.shard_index import ShardIndex

# Two indices or more: `u/0.4.1`, `u/0/4/1` or `u/c/0/4/1`. One-dimensional arrays are coordinates:
# their values are checked, and writers may leave out a chunk of them that holds only zeros.
CHUNK = re.compile(r"(^|/)\d+([./]\d+)+$")


class GuardedStore(WrapperStore[Store]):
    """Reads of another store, retried where that may help.

    Zarr takes a chunk that a store does not have for one full of the fill value. That would turn a
    broken copy into gaps in the weather, so here it is an error unless allowed.
    """

    def __init__(
        self,
        store: Store,
        url: str,
        retry: RetryConfig,
        missing_allowed: bool,
        indices: dict[str, ShardIndex] | None = None,
    ):
        """Guard `store`; `indices` are its sharded arrays', by name, once they are known."""
        super().__init__(store)
        self._url = url.rstrip("/")
        self._retry = retry
        self._missing_allowed = missing_allowed
        self.indices: dict[str, ShardIndex] = {} if indices is None else indices

    def _with_store(self, store: Store) -> "GuardedStore":
        return GuardedStore(store, self._url, self._retry, self._missing_allowed, self.indices)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return the bytes of an object, or None where it is no chunk and not there.

        Raises:
            ReadError: It cannot be read, or is a chunk that is not there.
        """
        attempts = Attempts(self._retry, f"{self._url}/{key}")
        while True:
            try:
                request = self._store.get(key, prototype, byte_range)
                found = await asyncio.wait_for(request, self._retry.request_s)
                break
            except Exception as error:
                wait = attempts.wait_after(error)
            await asyncio.sleep(wait)
        if not self._missing_allowed and CHUNK.search(key):
            self._check_whole(key, found, byte_range)
        return found

    def _check_whole(self, key: str, found: Buffer | None, part: ByteRequest | None) -> None:
        """Refuse a chunk or shard that is not there, and a shard that lacks chunks of its own."""
        lacks = f"the store has no chunk {self._url}/{key}"
        name, _, place = key.partition("/c/")
        if found is not None:
            if name not in self.indices:
                return
            shard = tuple(map(int, place.split("/")))
            absent = self.indices[name].absent(shard, found.as_numpy_array(), part)
            if not absent:
                return
            lacks = f"{absent} of the chunks in the shard {self._url}/{key} were not written"
        raise ReadError(
            f"{lacks}: the copy is incomplete; or, if its writer left out chunks of fill values, "
            "set data.source.missing_chunks=fill"
        )
