"""The index of a Zarr shard: which of its inner chunks were written."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import ByteRequest, SuffixByteRequest
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec

_ABSENT = np.uint64(2**64 - 1)
"""Offset and length of a chunk that was not written."""


@dataclass(frozen=True)
class ShardIndex:
    """How the shards of one array keep their index, at their end.

    Attributes:
        shape: Of the array.
        shard: Shape of a shard.
        chunk: Shape of an inner chunk.
        size: Bytes of the index, with its checksum.
    """

    shape: tuple[int, ...]
    shard: tuple[int, ...]
    chunk: tuple[int, ...]
    size: int

    @classmethod
    def of(cls, array: zarr.Array[Any]) -> "ShardIndex | None":
        """Return the index of an array's shards; None if it has none, or an unusual one."""
        codecs = array.metadata.codecs if array.metadata.zarr_format == 3 else ()
        if array.shards is None or not isinstance(codecs[0], ShardingCodec):
            return None
        codec = codecs[0]
        kinds = tuple(type(each) for each in codec.index_codecs)
        if codec.index_location.value != "end" or kinds != (BytesCodec, Crc32cCodec):
            return None
        inner = prod(s // c for s, c in zip(array.shards, array.chunks, strict=True))
        return cls(array.shape, array.shards, array.chunks, 16 * inner + 4)

    def absent(self, place: tuple[int, ...], read: NDArray[Any], part: ByteRequest | None) -> int:
        """Return how many inner chunks a shard lacks, as far as what was read of it tells.

        Args:
            place: Which shard of the array.
            read: Bytes of the whole shard, or of a part of it.
            part: Which part; None for the whole.
        """
        index_alone = isinstance(part, SuffixByteRequest) and part.suffix == self.size
        if len(read) < self.size or not (part is None or index_alone):
            return 0
        inner = tuple(s // c for s, c in zip(self.shard, self.chunk, strict=True))
        entries = np.frombuffer(read[-self.size : -4].tobytes(), "<u8").reshape(*inner, 2)
        # At the array's ends a shard may reach further than the array.
        within = tuple(
            slice(-(-max(0, length - n * shard) // chunk))
            for length, n, shard, chunk in zip(
                self.shape, place, self.shard, self.chunk, strict=True
            )
        )
        return int((entries[within][..., 0] == _ABSENT).sum())
