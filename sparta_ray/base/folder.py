"""The run folder: what a run was, and all that it left, at a path or fsspec URL."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import Timeout
from fsspec.implementations.local import LocalFileSystem
from pyarrow.fs import FSSpecHandler, PyFileSystem

from sparta_ray.base.errors import ConfigError, WriteError
from sparta_ray.base.file_lock import file_lock
from sparta_ray.base.paths import open_filesystem
from sparta_ray.base.records import Record, damaged, decode_json, decode_yaml

REMEDY = "copy the folder again, or delete it and run the same job anew"
"""What helps where a file of a run folder is damaged or missing."""

LINE_REMEDY = "copy the file again, or delete that line"
"""What helps where one line of a file of records is damaged."""


class RunFolder:
    """Reads and writes the files of one run."""

    def __init__(self, path: str):
        """Name the folder; nothing is created yet."""
        self.path = path
        # Other processes write here too: a listing that was kept would hide what they wrote since.
        self._filesystem, self._root = open_filesystem(path, use_listings_cache=False)

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
        """Write a whole file; a reader sees all of it or the one before.

        Raises:
            WriteError: The folder cannot be written, or its disk is full.
        """
        target = f"{self._root}/{name}"
        data = content.encode() if isinstance(content, str) else content
        with self._writing(name):
            self._filesystem.makedirs(target.rpartition("/")[0], exist_ok=True)
            if not self.is_local:
                self._filesystem.pipe_file(target, data)  # object stores replace a file as a whole
                return
            self._filesystem.pipe_file(f"{target}.partial", data)
            Path(f"{target}.partial").replace(target)

    def remove_if_there(self, name: str) -> None:
        """Delete a file, if there is one."""
        if self.exists(name):
            with self._writing(name):
                self._filesystem.rm_file(f"{self._root}/{name}")

    def read(self, name: str) -> str:
        """Return a file's text.

        Raises:
            ConfigError: It is not there, cannot be read, or is not text.
        """
        try:
            return self.read_bytes(name).decode()
        except UnicodeDecodeError as error:
            raise damaged(self.child(name), "it is not text", REMEDY) from error

    def read_bytes(self, name: str) -> bytes:
        """Return a file's bytes.

        Raises:
            ConfigError: It is not there, or cannot be read.
        """
        try:
            return bytes(self._filesystem.cat_file(f"{self._root}/{name}"))
        except FileNotFoundError as error:
            raise ConfigError(f"{self.child(name)} is missing; {REMEDY}") from error
        except OSError as error:
            if error.errno is None:  # of a bucket
                raise
            raise ConfigError(f"cannot read {self.child(name)}: {error.strerror}") from error

    def read_record(self, name: str, schema: type[Record], remedy: str = REMEDY) -> Record:
        """Return what a JSON or YAML file says, by its schema.

        Raises:
            ConfigError: It is not there, or damaged.
        """
        decode = decode_yaml if name.endswith(".yaml") else decode_json
        return decode(self.read_bytes(name), schema, self.child(name), remedy)

    def names(self, name: str) -> list[str]:
        """Return the names of what lies in a folder; none if it is not there."""
        if not self.exists(name):
            return []
        self._filesystem.invalidate_cache()
        if not self._filesystem.isdir(f"{self._root}/{name}"):
            raise ConfigError(f"{self.child(name)} is a file where a folder should be; remove it")
        found = self._filesystem.ls(f"{self._root}/{name}", detail=False)
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)

    def remove(self, name: str) -> None:
        """Delete a file, or a folder with all that lies in it."""
        with self._writing(name):
            self._filesystem.rm(f"{self._root}/{name}", recursive=True)

    def append_records(self, name: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Add one JSON line for each record."""
        lines = "".join(json.dumps(record) + "\n" for record in records)
        if self.is_local:
            path = Path(self._root) / name
            with self._writing(name):
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
        lock = file_lock(Path(self._root) / ".lock")
        try:
            with self._writing(".lock"):
                Path(self._root).mkdir(parents=True, exist_ok=True)
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

    def read_records(self, name: str, schema: Any = dict[str, Any]) -> list[dict[str, Any]]:
        """Return a file of JSON lines; none if it is not there. A torn last line is left out.

        Args:
            name: Of the file.
            schema: What each line must hold.

        Raises:
            ConfigError: Another line is damaged; names it.
        """
        if not self.exists(name):
            return []
        lines = self.read_bytes(name).split(b"\n")[:-1]
        return [
            decode_json(line, schema, f"{self.child(name)}, line {number},", LINE_REMEDY)
            for number, line in enumerate(lines, 1)
        ]

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        """Turn a folder that cannot be written, and a full disk, into one error."""
        try:
            yield
        except Timeout:
            raise
        except OSError as error:
            if error.errno is None:  # of a bucket
                raise
            raise WriteError(
                f"cannot write {self.child(name)}: {error.strerror}; mend that, or choose another "
                "folder (--set folder=…), and give the same command again"
            ) from error
