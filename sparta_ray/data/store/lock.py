"""One preparation of a store at a time."""

import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from sparta_ray.base.errors import ConfigError

LOCK = ".lock"

_RENEWAL_S = 15.0
_SILENCE_S = 60.0
"""Seconds between two words of a holder, and after how many without one it is taken for dead."""


@contextmanager
def exclusive_lock(path: str) -> Iterator[None]:
    """Hold the store at `path` for writing.

    On a local disk the system frees the lock of a killed process. In a bucket the lock is an object
    that says who holds it, written anew every few seconds; one that stays as it is for longer was
    left behind by a killed process, and is taken over.

    Raises:
        ConfigError: Another process holds it; names that process.
    """
    filesystem, root = fsspec.core.url_to_fs(path)
    if isinstance(filesystem, LocalFileSystem):
        with _held_file(Path(root) / LOCK, path):
            yield
    else:
        with _HeldObject(filesystem, f"{root}/{LOCK}", path):
            yield


class _HeldObject:
    """A lock in a bucket. No clock is compared: a holder lives as long as it writes."""

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
            self._filesystem.pipe_file(self._lock, self._word(), mode="create")
        except FileExistsError:
            self._take_over(self._read())

    def _take_over(self, first: bytes) -> None:
        """Take the lock of a process that says nothing more, or refuse."""
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
        self._filesystem.pipe_file(self._lock, self._word())
        time.sleep(_RENEWAL_S / 4)  # the last of several that do so has it
        if not self._is_ours():
            raise ConfigError(f"{_refusal(self._path, self._read())}; wait for it")
        print("it does not: its lock is taken over", flush=True)

    def _renew(self) -> None:
        while not self._over.wait(timeout=_RENEWAL_S):
            try:
                if not self._is_ours():  # this process was stopped, and another took it for dead
                    return
                self._filesystem.pipe_file(self._lock, self._word())
            except OSError as error:
                print(f"cannot renew {self._path}/{LOCK} yet: {error}", flush=True)

    def _word(self) -> bytes:
        return json.dumps(self._owner | {"word": uuid.uuid4().hex}).encode()

    def _is_ours(self) -> bool:
        return bool(json.loads(self._read() or b"{}").get("holder") == self._owner["holder"])

    def _read(self) -> bytes:
        try:
            return bytes(self._filesystem.cat_file(self._lock))
        except FileNotFoundError:
            return b""


@contextmanager
def _held_file(lock: Path, path: str) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            refusal = _refusal(path, lock.read_bytes())
            raise ConfigError(f"{refusal}; wait for it") from error
        file.truncate(0)
        file.write(json.dumps(_owner()))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _owner() -> dict[str, Any]:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {"process": os.getpid(), "host": socket.gethostname(), "since": since}


def _refusal(path: str, owner: bytes) -> str:
    said: dict[str, Any] = json.loads(owner or b"{}")
    who = "process {process} on {host} since {since}".format(**said) if said else "another process"
    return f"the store {path} is being prepared by {who}"
