"""Reading steps of a store: through memory maps where they fit, else through Zarr.

One uncompressed shard of one-step chunks is a plain array followed by its index, so a local store
is mapped instead of read: the processes of a node share one copy in the page cache. Any other
store, remote or rewritten by the user, is read through Zarr.

Legend: T steps of a shard, V variables, X longitudes, Y latitudes.
"""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import zarr
from numpy.typing import NDArray

from sparta_ray.base.errors import ConfigError, ReadError

Fields = NDArray[np.float32]


class Reader(Protocol):
    """Reads steps of a store."""

    def read(self, days: NDArray[np.int64]) -> Fields:
        """Return physical fields of any steps, in the order asked, shape (n, V, X, Y)."""


def open_reader(path: str, array: zarr.Array[Any]) -> Reader:
    """Return the fastest reader of a store's fields.

    Raises:
        ConfigError: A shard is not there.
    """
    files = _shard_files(Path(path.removeprefix("file://")), array)
    return ZarrReader(path, array) if files is None else MappedReader(files, array)


class ZarrReader:
    """Reads any store."""

    def __init__(self, path: str, array: zarr.Array[Any]):
        self._path, self._array = path, array

    def read(self, days: NDArray[np.int64]) -> Fields:
        """Return physical fields of any steps, in the order asked, shape (n, V, X, Y).

        Raises:
            ReadError: It cannot be reached, or is damaged.
        """
        try:
            return np.asarray(self._array.oindex[days], dtype=np.float32)
        except (OSError, ValueError) as error:
            raise ReadError(
                f"cannot read the store {self._path}: {error}; if it is damaged, copy it again, or "
                "delete it and prepare it anew"
            ) from error


class MappedReader:
    """Copies steps out of memory maps of the shards, each mapped when it is first asked for."""

    def __init__(self, files: list[Path], array: zarr.Array[Any]):
        assert array.shards is not None
        self._files, self._array, self._shard_steps = files, array, array.shards[0]
        self._maps: dict[int, Fields] = {}

    def read(self, days: NDArray[np.int64]) -> Fields:
        """Return physical fields of any steps, in the order asked, shape (n, V, X, Y).

        Raises:
            ReadError: A shard is damaged.
        """
        fields = np.empty((len(days), *self._array.shape[1:]), dtype=np.float32)
        shards, offsets = np.divmod(days, self._shard_steps)
        for row, (shard, offset) in enumerate(zip(shards.tolist(), offsets.tolist(), strict=True)):
            fields[row] = self._map(shard)[offset]
        return fields

    def _map(self, shard: int) -> Fields:
        if shard not in self._maps:
            file, steps = self._files[shard], _steps_of(shard, self._array)
            if not _is_plain(file, self._array, steps):
                raise ReadError(
                    f"{file} is damaged: copy it again, or delete the store and prepare it anew"
                )
            mapped = np.memmap(file, "<f4", mode="r", shape=(steps, *self._array.shape[1:]))
            self._maps[shard] = np.asarray(mapped)  # a plain array's rows are cheaper to take
        return self._maps[shard]


def _shard_files(root: Path, array: zarr.Array[Any]) -> list[Path] | None:
    """Return the files of all shards, or None if the first is not a plain array of whole steps.

    Raises:
        ConfigError: One is not there.
    """
    in_steps = array.chunks == (1, *array.shape[1:]) and array.shards is not None
    if not root.is_dir() or not in_steps or array.dtype != np.dtype("<f4"):
        return None
    assert array.shards is not None
    shards = range(-(-array.shape[0] // array.shards[0]))
    files = [root / "fields" / "c" / str(shard) / "0" / "0" / "0" for shard in shards]
    for file in files:
        if not file.exists():
            raise ConfigError(
                f"the store lacks {file}: the copy is incomplete; copy it again, or delete the "
                "store and prepare it anew"
            )
    return files if _is_plain(files[0], array, _steps_of(0, array)) else None


def _steps_of(shard: int, array: zarr.Array[Any]) -> int:
    assert array.shards is not None
    return int(min(array.shards[0], array.shape[0] - shard * array.shards[0]))


def _is_plain(file: Path, array: zarr.Array[Any], steps: int) -> bool:
    """Return whether a shard's index says that its steps stand one after another."""
    assert array.shards is not None
    step_bytes = int(np.prod(array.shape[1:])) * 4
    index_bytes = array.shards[0] * 16 + 4  # offset and length of each chunk, then a checksum
    with file.open("rb") as stream:
        if stream.seek(0, 2) < steps * step_bytes + index_bytes:
            return False
        stream.seek(-index_bytes, 2)
        index = np.frombuffer(stream.read(index_bytes - 4), dtype="<u8").reshape(-1, 2)[:steps]
    in_order = index[:, 0] == np.arange(steps) * step_bytes
    return bool((in_order & (index[:, 1] == step_bytes)).all())
