"""One preparation of a store at a time."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from sparta_ray.config import ConfigError

LOCK = ".lock"


@contextmanager
def held(path: str) -> Iterator[None]:
    """Hold the store at `path` for writing.

    On a local disk the system frees the lock of a killed process. In a bucket the lock is an
    object that says who holds it; one that was left behind is for the user to remove.

    Raises:
        ConfigError: Another process holds it; names that process.
    """
    filesystem, root = fsspec.core.url_to_fs(path)
    if isinstance(filesystem, LocalFileSystem):
        with _held_file(Path(root) / LOCK, path):
            yield
        return
    lock = f"{root}/{LOCK}"
    try:
        filesystem.pipe_file(lock, _owner().encode(), mode="create")
    except FileExistsError as error:
        remedy = f"wait for it, or, if it no longer runs, delete {path}/{LOCK} and begin again"
        raise ConfigError(_refusal(path, filesystem.cat_file(lock).decode(), remedy)) from error
    try:
        yield
    finally:
        filesystem.rm_file(lock)


@contextmanager
def _held_file(lock: Path, path: str) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(_refusal(path, lock.read_text(), "wait for it")) from error
        file.truncate(0)
        file.write(_owner())
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _owner() -> str:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"process": os.getpid(), "host": socket.gethostname(), "since": since})


def _refusal(path: str, owner: str, remedy: str) -> str:
    said: dict[str, Any] = json.loads(owner or "{}")
    who = "process {process} on {host} since {since}".format(**said) if said else "another process"
    return f"the store {path} is being prepared by {who}; {remedy}"
