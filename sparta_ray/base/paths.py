"""Where a relative path stands, and the file system behind a path or URL."""

import os
from pathlib import Path
from typing import Any

import fsspec

from sparta_ray.base.errors import ConfigError

JOB_COPIES = "/runtime_resources/working_dir_files/"
"""Part of the path of every submitted job's own copy of the working directory."""


def open_filesystem(path: str, **options: Any) -> tuple[Any, str]:
    """Return the file system of a path or URL, and the path there.

    Args:
        path: The path or URL.
        options: Of the file system.

    Raises:
        ConfigError: The kind of URL is not known, its driver is not installed, or it is malformed.
    """
    scheme = path.rpartition("::")[2].partition("://")[0]
    try:
        filesystem, root = fsspec.core.url_to_fs(path, **options)
    except ImportError as error:
        raise ConfigError(
            f"{path!r} needs a package that is not installed: {error}; "
            "for gs:// it is pip install 'sparta-ray[gcs]', for s3:// 'sparta-ray[s3]'"
        ) from error
    except ValueError as error:
        known = scheme in fsspec.available_protocols()
        remedy = "" if known else "; use a path, or a URL such as gs://…, s3://… or http://…"
        raise ConfigError(f"{path!r} cannot be opened: {error}{remedy}") from error
    if "\0" in root:
        raise ConfigError(f"{path!r} cannot be opened: no path holds a zero byte")
    return filesystem, root


def is_local(path: str) -> bool:
    """Return whether a path, or a URL, is of this machine's file system."""
    return "://" not in path.removeprefix("file://").removeprefix("local://")


def absolute(path: str) -> str:
    """Return the absolute path of what is read; a URL stays as it is."""
    return path if "://" in path else str(Path(path).resolve())


def output_path(path: str) -> str:
    """Return the absolute path of what is written, where it lasts; a URL stays as it is.

    A relative path stands in the working directory. A submitted job's working directory is a copy
    that Ray deletes: there, it stands in the folder that ``SPARTA_HOME`` names, or else in
    ``~/sparta-ray``, on the machine that drives the job.
    """
    return path if "://" in path else str((_home() / path).resolve())


def _home() -> Path:
    working = Path.cwd()
    if JOB_COPIES not in f"{working}/":
        return working
    return Path(os.environ.get("SPARTA_HOME", "~/sparta-ray")).expanduser()
