"""The run folder: what a run was, and all that it left, at a path or fsspec URL."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from filelock import Timeout
from fsspec.implementations.local import LocalFileSystem
from pyarrow.fs import FSSpecHandler, PyFileSystem

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.file_lock import file_lock


class RunFolder:
    """Reads and writes the files of one run."""

    def __init__(self, path: str):
        """Name the folder; nothing is created yet."""
        self.path = path
        # Other processes write here too: a listing that was kept would hide what they wrote since.
        self._filesystem, self._root = fsspec.core.url_to_fs(path, use_listings_cache=False)

    @property
    def url(self) -> str:
        """The folder as an absolute path or full URL, the same on every node that shares it."""
        return str(Path(self._root).resolve()) if self.is_local else self.path

    @property
    def is_local(self) -> bool:
        """Whether the folder lies on this machine's file system."""
        return isinstance(self._filesystem, LocalFileSystem)

    def child(self, *names: str) -> str:
        """Return the path of something in the folder."""
        return "/".join([self.url, *names])

    def for_ray(self, *names: str) -> dict[str, Any]:
        """Return the arguments by which a `RunConfig` of Ray writes into the folder.

        Ray reads URLs with clients of its own, which know fewer kinds of storage and need their
        credentials and settings told apart. It is given this folder's client instead.
        """
        if self.is_local:
            return {"storage_path": self.child(*names)}
        filesystem = PyFileSystem(FSSpecHandler(self._filesystem))
        return {
            "storage_path": "/".join([self._root, *names]),
            "storage_filesystem": filesystem,
        }

    def exists(self, name: str) -> bool:
        """Return whether a file or folder is there."""
        return bool(self._filesystem.exists(f"{self._root}/{name}"))

    def write(self, name: str, content: str | bytes) -> None:
        """Write a whole file; a reader sees all of it or the one before."""
        target = f"{self._root}/{name}"
        self._filesystem.makedirs(target.rpartition("/")[0], exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        if not self.is_local:
            self._filesystem.pipe_file(target, data)  # object stores replace a file as a whole
            return
        self._filesystem.pipe_file(f"{target}.partial", data)
        Path(f"{target}.partial").replace(target)

    def remove_if_there(self, name: str) -> None:
        """Delete a file, if there is one."""
        if self.exists(name):
            self._filesystem.rm_file(f"{self._root}/{name}")

    def read(self, name: str) -> str:
        """Return a file's text."""
        return self.read_bytes(name).decode()

    def read_bytes(self, name: str) -> bytes:
        """Return a file's bytes."""
        return bytes(self._filesystem.cat_file(f"{self._root}/{name}"))

    def names(self, name: str) -> list[str]:
        """Return the names of what lies in a folder; none if it is not there."""
        if not self.exists(name):
            return []
        self._filesystem.invalidate_cache()
        found = self._filesystem.ls(f"{self._root}/{name}", detail=False)
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)

    def remove(self, name: str) -> None:
        """Delete a file, or a folder with all that lies in it."""
        self._filesystem.rm(f"{self._root}/{name}", recursive=True)

    def append_records(self, name: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Add one JSON line for each record."""
        lines = "".join(json.dumps(record) + "\n" for record in records)
        if self.is_local:
            path = Path(self._root) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as stream:
                stream.write(lines)
        else:
            self.write(name, (self.read(name) if self.exists(name) else "") + lines)

    def drop_torn_record(self, name: str) -> None:
        """Cut off what a killed run left of a line, so that the next record stands on its own."""
        path = Path(self._root) / name
        if not self.is_local or not path.exists():
            return
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with path.open("r+b") as stream:
                stream.truncate(whole)

    @contextmanager
    def exclusive_lock(self) -> Iterator[None]:
        """Hold a local folder, so that no second run writes into it at the same time.

        Raises:
            ConfigError: Another process holds it.
        """
        if not self.is_local:
            yield
            return
        Path(self._root).mkdir(parents=True, exist_ok=True)
        lock = file_lock(Path(self._root) / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise ConfigError(
                f"the run folder {self.path} is in use by another process; wait for it, or "
                "choose another name (--set name=…)"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def read_records(self, name: str) -> list[dict[str, Any]]:
        """Return a file of JSON lines; none if it is not there. A torn last line is left out."""
        if not self.exists(name):
            return []
        lines = self.read(name).splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]
