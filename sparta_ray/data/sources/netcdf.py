"""NetCDF files by path, pattern or URL."""

from dataclasses import replace
from typing import Annotated, Any, Literal, Self

import xarray as xr
from fsspec.implementations.local import LocalFileSystem
from pydantic import Field
from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.paths import absolute
from sparta_ray.data.retry import ONCE, RetryConfig, retried
from sparta_ray.data.sources.kind import Opened
from sparta_ray.data.sources.storage import StoredSource, file_stamp

REMOTE_FILE = {"block_size": 2**20, "cache_type": "blockcache", "cache_options": {"maxblocks": 16}}
"""A remote file is read here and there: 16 MiB of it are kept."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NetCDFSource(StoredSource):
    """NetCDF files that together cover a time range, and together hold the variables.

    Attributes:
        paths: A path, a glob pattern or an fsspec URL, or a list of these.
    """

    kind: Literal["netcdf"]
    paths: str | Annotated[tuple[str, ...], Field(min_length=1)]

    @property
    def patterns(self) -> tuple[str, ...]:
        """The paths, patterns or URLs, one or more."""
        return (self.paths,) if isinstance(self.paths, str) else self.paths

    @property
    def first_url(self) -> str:
        """The first of the paths, patterns or URLs."""
        return self.patterns[0]

    def with_absolute_paths(self) -> Self:
        """Return the same files under absolute paths; URLs stay as they are."""
        paths = tuple(map(absolute, self.patterns))
        return replace(self, paths=paths[0] if isinstance(self.paths, str) else paths)

    def open(self) -> list[Opened]:
        """Open every file that the paths name, each once."""
        opened: dict[str, Opened] = {}  # a file that two patterns match is read once
        for pattern in self.patterns:
            for each in self._open_pattern(pattern):
                opened.setdefault(each.origin, each)
        return list(opened.values())

    def _open_pattern(self, pattern: str) -> list[Opened]:
        filesystem, path = self.filesystem(pattern)
        retry = ONCE if isinstance(filesystem, LocalFileSystem) else self.retry
        paths = retried(lambda: sorted(filesystem.glob(path)), retry, pattern)
        if not paths:
            raise ConfigError(f"data.source.paths {pattern!r} matches no file")
        return [_open_one(filesystem, path, retry) for path in paths]


def _open_one(filesystem: Any, path: str, retry: RetryConfig) -> Opened:
    remote = not isinstance(filesystem, LocalFileSystem)
    dataset = retried(lambda: _open_file(filesystem, path, remote), retry, path)
    return Opened(dataset, path, remote, retry, lambda *_: file_stamp(filesystem, path, retry))


def _open_file(filesystem: Any, path: str, remote: bool) -> xr.Dataset:
    """Open a NetCDF file of either format, told apart by their first bytes."""
    classic = filesystem.read_block(path, 0, 3) == b"CDF"
    file = filesystem.open(path, **REMOTE_FILE) if remote else path
    engine = "scipy" if classic else "h5netcdf"
    return xr.open_dataset(file, engine=engine, cache=False, decode_times=False)
