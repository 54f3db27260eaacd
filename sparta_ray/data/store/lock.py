"""One preparation of a store at a time."""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NotRequired

import fsspec
from filelock import Timeout
from fsspec.implementations.local import LocalFileSystem
from typing_extensions import TypedDict

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.file_lock import file_lock
from sparta_ray.base.paths import open_filesystem
from sparta_ray.base.records import decode_json

LOCK = ".lock"

_RENEWAL_S = 15.0
_SILENCE_S = 60.0
"""How often a holder renews its lock in a bucket, and when one that is not renewed is abandoned."""


@contextmanager
def exclusive_lock(path: str) -> Iterator[None]:
    """Hold the store at `path` for writing.

    On a local disk the operating system frees the lock of a killed process. In a bucket the lock is
    an object that names its holder and is rewritten every few seconds. One that no longer changes
    was left behind by a killed process, and is taken over.

    Raises:
        ConfigError: Another process holds it; names that process.
    """
    filesystem, root = open_filesystem(path)
    if isinstance(filesystem, LocalFileSystem):
        with _local_lock(Path(root) / LOCK, path):
            yield
    else:
        with _BucketLock(filesystem, f"{root}/{LOCK}", path):
            yield


class _BucketLock:
    """A lock in a bucket, renewed by its holder. No clocks are compared: only changes count."""

    def __init__(self, filesystem: fsspec.AbstractFileSystem, lock: str, path: str):
        self._filesystem, self._lock, self._path = filesystem, lock, path
        self._owner = _owner() | {"holder": uuid.uuid4().hex}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> None:
        self._take()
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._is_ours():
            self._filesystem.rm_file(self._lock)

    def _take(self) -> None:
        try:
            self._filesystem.pipe_file(self._lock, self._signed(), mode="create")
        except FileExistsError:
            self._take_over(self._read())

    def _take_over(self, first: bytes) -> None:
        """Take over the lock of a process that no longer renews it, or refuse."""
        print(f"{_refusal(self._path, first)}; looking whether it still runs", flush=True)
        until = time.monotonic() + _SILENCE_S
        while time.monotonic() < until:
            time.sleep(_RENEWAL_S / 4)
            now = self._read()
            if not now:  # it has ended
                self._take()
                return
            if now != first:
                raise ConfigError(f"{_refusal(self._path, first)}; wait for it")
        self._filesystem.pipe_file(self._lock, self._signed())
        time.sleep(_RENEWAL_S / 4)  # the last of several that do so has it
        if not self._is_ours():
            raise ConfigError(f"{_refusal(self._path, self._read())}; wait for it")
        print("it does not: its lock is taken over", flush=True)

    def _renew(self) -> None:
        while not self._over.wait(timeout=_RENEWAL_S):
            try:
                if not self._is_ours():  # this process was stopped, and another took it for dead
                    return
                self._filesystem.pipe_file(self._lock, self._signed())
            except OSError as error:
                print(f"cannot renew {self._path}/{LOCK} yet: {error}", flush=True)

    def _signed(self) -> bytes:
        """Return the lock's content: its owner, and something new at each renewal."""
        return json.dumps(self._owner | {"renewal": uuid.uuid4().hex}).encode()

    def _is_ours(self) -> bool:
        return bool(_said_by(self._read()).get("holder") == self._owner["holder"])

    def _read(self) -> bytes:
        try:
            return bytes(self._filesystem.cat_file(self._lock))
        except FileNotFoundError:
            return b""


@contextmanager
def _local_lock(path: Path, store: str) -> Iterator[None]:
    """Hold a lock file, which says who holds it."""
    lock = file_lock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConfigError(f"{_refusal(store, path.read_bytes())}; wait for it") from error
    except OSError as error:
        raise ConfigError(
            f"cannot write to the store {store}: {error.strerror or error}; mend that, or choose "
            "another (--set data.store=…)"
        ) from error
    try:
        path.write_text(json.dumps(_owner()))
        yield
    finally:
        with suppress(FileNotFoundError):  # the store may have been deleted meanwhile
            os.truncate(path, 0)
        lock.release()


def _owner() -> dict[str, Any]:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {"process": os.getpid(), "host": socket.gethostname(), "since": since}


class _Owner(TypedDict):
    """What a lock says of its holder; one that was torn says nothing."""

    process: NotRequired[int]
    host: NotRequired[str]
    since: NotRequired[str]
    holder: NotRequired[str]


def _said_by(lock: bytes) -> _Owner:
    try:
        return decode_json(lock, _Owner, LOCK, "")
    except ConfigError:
        return {}


def _refusal(path: str, owner: bytes) -> str:
    said = _said_by(owner)
    known = {"process", "host", "since"} <= said.keys()
    who = "process {process} on {host} since {since}".format(**said) if known else "another process"
    return f"the store {path} is being prepared by {who}"
