"""Sources that lie on a file system: by path, or by any URL that fsspec can open."""

import logging
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from fsspec.asyn import AsyncFileSystem
from pydantic import Field
from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.paths import open_filesystem
from sparta_ray.data.retry import RetryConfig, reached, retried
from sparta_ray.data.sources.kind import SourceKind
from sparta_ray.data.sources.reach import check_first_answer

# It logs, with a traceback, every failure that is tried again or reported in words here.
logging.getLogger("gcsfs").setLevel(logging.CRITICAL)

_S3, _AZURE, _GOOGLE = {"anon": True}, {"anon": True}, {"token": "anon"}

ANONYMOUS: dict[str, dict[str, Any]] = {
    "gs": _GOOGLE,
    "gcs": _GOOGLE,
    "s3": _S3,
    "s3a": _S3,
    "az": _AZURE,
    "abfs": _AZURE,
}
"""How each kind of bucket is told that there are no credentials."""

CHANGES = ("size", "mtime", "updated", "LastModified", "last_modified", "etag", "ETag", "md5Hash")
"""What file systems report of a file that changes when its bytes do."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StoredSource(SourceKind):
    """What sources by path or URL have in common.

    Attributes:
        simulated: Whether the fields come from a free-running model; the report then says so.
        names: The source's own names of quantities that are not recognised by name, such as
            ``{2m_temperature: TEMP_2M}``.
        anonymous: Whether to read a bucket without credentials; False uses those of the
            environment.
        options: Options of the fsspec file system, such as ``endpoint_url``. They are recorded in
            the run folder, so they must not hold secrets.
        retry: Timeouts and retries of remote reads.
    """

    simulated: bool = False
    names: dict[str, str] = Field(default_factory=dict)
    anonymous: bool = True
    options: dict[str, str | int | float | bool] = Field(default_factory=dict)
    retry: RetryConfig = Field(default_factory=RetryConfig)

    @property
    @abstractmethod
    def first_url(self) -> str:
        """The path or URL that is asked for first, to see whether the source answers."""

    @property
    def is_simulated(self) -> bool:
        """As the user says."""
        return self.simulated

    @property
    def own_names(self) -> Mapping[str, str]:
        """As the user says."""
        return self.names

    def check_reach(self) -> None:
        """Check that something answers within ``retry.first_answer_s``; what, matters later."""
        filesystem, path = self.filesystem(self.first_url)
        if isinstance(filesystem, AsyncFileSystem):
            endpoint = str(self.options.get("endpoint_url", ""))
            seconds = self.retry.first_answer_s
            check_first_answer(filesystem, path, self.first_url, endpoint, seconds)

    def filesystem(self, url: str) -> tuple[Any, str]:
        """Return the file system of a URL of the source, and the path there.

        Raises:
            ConfigError: The URL is not understood, or its driver is not installed.
        """
        with reached(url):
            try:
                return open_filesystem(url, **self.filesystem_options(url))
            except ConfigError as error:
                raise ConfigError(f"data.source: {error}") from error

    def filesystem_options(self, url: str) -> dict[str, Any]:
        """Return the arguments with which the file system of `url` is made."""
        *caches, last = url.split("::")
        protocol = last.partition("://")[0]
        options = {**(ANONYMOUS.get(protocol, {}) if self.anonymous else {}), **self.options}
        return {protocol: options} if caches else options


def file_stamp(filesystem: Any, path: str, retry: RetryConfig) -> str:
    """Return what the file system reports of a file that changes when its bytes do."""
    try:
        info = retried(lambda: filesystem.info(path), retry, path)
    except FileNotFoundError:
        return f"{path}: absent"
    return f"{path}: " + ", ".join(f"{key} {info[key]}" for key in CHANGES if key in info)
