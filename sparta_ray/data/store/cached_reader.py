"""Reading fields that lie elsewhere, once for all processes of a node."""

from collections.abc import Callable
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sparta_ray.data.store.block_cache import BlockCache, CacheConfig
from sparta_ray.data.store.layout import StoreLayout
from sparta_ray.data.store.readers import Fields, Reader

BLOCK_STEPS = 16
"""Longer blocks would read more of what a batch does not want; shorter ones ask more often."""


class CachedReader:
    """Reads any steps, whole blocks of them through the cache that a node's processes share."""

    def __init__(
        self,
        read_fields: Callable[[int, int], Fields],
        shape: tuple[int, ...],
        cache: BlockCache,
        block_steps: int = BLOCK_STEPS,
        offset: int = 0,
    ):
        """Read through `cache`.

        Args:
            read_fields: Returns the fields of the steps ``start … stop - 1``.
            shape: Of all fields, (T, V, X, Y).
            cache: Of these fields in these blocks, and of nothing else.
            block_steps: What is read and kept together.
            offset: The first block lacks so many steps at its beginning.
        """
        self._read_fields, self._shape, self._cache = read_fields, shape, cache
        self._block_steps, self._offset = block_steps, offset

    @classmethod
    def of(
        cls,
        read_fields: Callable[[int, int], Fields],
        layout: StoreLayout,
        fingerprint: str,
        config: CacheConfig,
        block_steps: int = BLOCK_STEPS,
        offset: int = 0,
        needed: bool = True,
    ) -> Self:
        """Read through a cache that is found by what is in it: the fields, and how they are cut.

        Raises:
            OSError: Its folder cannot be made.
        """
        folder = config.folder_of(f"{fingerprint}-{block_steps}-{offset}")
        cache = BlockCache(folder, config.bytes, needed)
        return cls(read_fields, layout.shape, cache, block_steps, offset)

    def read(self, days: NDArray[np.int64]) -> Fields:
        """Return physical fields of any steps, in the order asked, shape (n, V, X, Y)."""
        fields = np.empty((len(days), *self._shape[1:]), dtype=np.float32)
        block_of, place = np.divmod(days + self._offset, self._block_steps)
        pending = np.unique(block_of).tolist()
        for wait in (False, True):  # first what is there or free, then what others are reading
            busy = []
            for block in pending:
                whole = self._cache.get(block, self._read_block, wait)
                if whole is None:
                    busy.append(block)
                else:
                    rows = block_of == block
                    fields[rows] = whole[place[rows] - (self._offset if block == 0 else 0)]
            pending = busy
        return fields

    def _read_block(self, block: int) -> Fields:
        start = block * self._block_steps - self._offset
        stop = min(start + self._block_steps, self._shape[0])
        return self._read_fields(max(0, start), stop)


def keep_on_node(
    reader: Reader, layout: StoreLayout, fingerprint: str, config: CacheConfig
) -> Reader:
    """Return a reader that keeps what is read of a store, if the node may and can keep all of it.

    Batches are drawn from all days: with room for a part only, most blocks would be read again.

    Args:
        reader: Of a store in a bucket.
        layout: What it holds.
        fingerprint: Of its fields, which nobody changes without changing it.
        config: The node's cache.
    """
    if layout.bytes > config.bytes:
        return reader
    try:
        return CachedReader.of(
            lambda start, stop: reader.read(np.arange(start, stop)),
            layout,
            fingerprint,
            config,
            needed=False,
        )
    except OSError:  # a folder that cannot be made here; reading works without
        return reader
