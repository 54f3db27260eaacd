"""Where a relative path stands."""

import os
from pathlib import Path

JOB_COPIES = "/runtime_resources/working_dir_files/"
"""Part of the path of every submitted job's own copy of the working directory."""


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
