"""A node's cache of blocks of fields: files that all its processes share.

Every training worker of a node and every builder of every worker needs the same blocks at about the
same time. Each block is read by one process, for all; the longest unused one goes first.
"""

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import Timeout
from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.file_lock import file_lock
from sparta_ray.data.store.readers import Fields

HEADER_BYTES = 128
"""Of a block's file, before its fields; they are not counted."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CacheConfig:
    """What a node keeps of the fields that it has read from elsewhere.

    They come from the source, with ``data.mode: stream``, or from a prepared store in a bucket, of
    which all or nothing is kept.

    Attributes:
        mb: Size limit of the cache on each node, shared by all its processes [MiB].
        folder: Folder of the cache, an absolute path on each node's own disk; None for one among
            the temporary files. It is kept for later jobs and may be deleted between jobs.
    """

    mb: int = Field(default=4096, ge=1)
    folder: str | None = None

    @field_validator("folder")
    @classmethod
    def _check_folder(cls, folder: str | None) -> str | None:
        if folder is not None and not Path(folder).is_absolute():
            raise ValueError("name it from the root, as it lies on every node")
        return folder

    @property
    def bytes(self) -> int:
        """Most bytes kept."""
        return self.mb * 2**20

    def folder_of(self, blocks: str) -> Path:
        """Return where the blocks of that name are kept, on this node."""
        if self.folder is not None:
            return Path(self.folder) / blocks
        return Path(tempfile.gettempdir()) / f"sparta-ray-{os.getuid()}-{blocks}"


class BlockCache:
    """Blocks by number, in one folder, read through memory maps."""

    def __init__(self, folder: Path, limit: int, needed: bool = True):
        """Use `folder`, which need not exist, for at most `limit` bytes.

        On a full disk a cache that is not `needed` keeps nothing, instead of raising.

        Raises:
            OSError: The folder cannot be made, or others can write into it.
        """
        _make_own(folder)
        self._folder, self._limit, self._needed = folder, limit, needed

    def get(self, block: int, read: Callable[[int], Fields], wait: bool) -> Fields | None:
        """Return a block, from the cache or else from `read`, which is called once a node.

        Args:
            block: Its number.
            read: Makes the block of a number; no two processes make the same one at a time.
            wait: Whether to wait for another process that is making it, or to return None.

        Raises:
            ConfigError: The disk is full, and the cache needed.
        """
        if (kept := self._kept(block)) is not None:
            return kept
        with _exclusive(self._folder / f"{block}.lock", wait) as mine:
            if not mine:
                return None
            if (kept := self._kept(block)) is not None:
                return kept
            fields = read(block)
            self._keep(block, fields)
            return fields

    def _kept(self, block: int) -> Fields | None:
        """Return a block that is there and whole."""
        path = self._path(block)
        try:
            os.utime(path)  # used just now
            kept: Fields = np.load(path, mmap_mode="r")
        except FileNotFoundError:
            return None
        except _TORN:  # by a crash of the machine, say; it is read and written again
            return None
        return kept if kept.dtype == np.float32 else None

    def _keep(self, block: int, fields: Fields) -> None:
        partial = self._path(block).with_suffix(".partial")
        try:
            with partial.open("wb") as file:
                np.save(file, fields)
        except OSError as error:
            partial.unlink(missing_ok=True)
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            if not self._needed:
                return
            raise ConfigError(
                f"the disk of the cache {self._folder} is full; lower "
                "data.cache.mb or set data.cache.folder"
            ) from error
        partial.replace(self._path(block))
        with _exclusive(self._folder / "all.lock", wait=True):
            self._drop_the_longest_unused()

    def _drop_the_longest_unused(self) -> None:
        files = [(path.stat(), path) for path in self._folder.glob("*.npy")]
        excess = sum(found.st_size - HEADER_BYTES for found, _ in files) - self._limit
        for found, path in sorted(files, key=lambda file: file[0].st_mtime_ns):
            if excess <= 0:
                return
            path.unlink()
            excess -= found.st_size - HEADER_BYTES

    def _path(self, block: int) -> Path:
        return self._folder / f"{block}.npy"


_TORN = (ValueError, EOFError, OverflowError, TypeError, SyntaxError)
"""What NumPy raises of a file that is no array, or less than one."""


def _make_own(folder: Path) -> None:
    """Make a folder for this user alone, or check that it is one.

    The temporary files of a node are everyone's: whoever made the folder first could write there
    what we would read as fields.

    Raises:
        OSError: It cannot be made, is a link, another user's, or open to others' writing.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(f"{folder} is a link or a file, not a folder") from None
        if found.st_uid != os.getuid():
            raise PermissionError(f"{folder} belongs to another user") from None
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(
                f"others may write into {folder} (chmod 700 would end that, once you know what "
                "is in it)"
            ) from None


@contextmanager
def _exclusive(path: Path, wait: bool) -> Iterator[bool]:
    """Hold a lock file, and yield whether it was obtained."""
    lock = file_lock(path)
    try:
        lock.acquire(blocking=wait)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
