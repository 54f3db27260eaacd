"""Whose a run folder is: the run that has taken it, and what a later one may change."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NotRequired

import yaml
from typing_extensions import TypedDict

from sparta_ray import __version__
from sparta_ray.base.config import differences, from_tree, to_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.run.settings import Run
from sparta_ray.training.model_card import has_model

FREE_TO_CHANGE = (
    "folder",
    "scaling",
    "evaluation",
    "data.store",
    "data.source",
    "data.mode",
    "data.cache",
    "data.memory_mb",
    "training.keep_checkpoints",
    "training.report_seconds",
    "training.stall_seconds",
    "training.compile",
    "training.health",
    "training.checkpoint_every_epochs",
    "training.checkpoint_every_steps",
    "downstream.cpus_per_trial",
    "downstream.gpus_per_trial",
    "downstream.max_concurrent",
)
"""Settings that do not change what the trained weights are."""


@dataclass(frozen=True)
class Allowed:
    """What a user has said may differ from the run that the folder holds.

    Attributes:
        changed_config: Settings that change what the weights become.
        changed_data: The store's fingerprint.
        older_checkpoint: The last checkpoint; if it is damaged, the one before is taken.
    """

    changed_config: bool = False
    changed_data: bool = False
    older_checkpoint: bool = False


NOTHING = Allowed()


class RunSettings(TypedDict):
    """What ``run.yaml`` says of a run's settings.

    Attributes:
        config: The settings, as a tree.
    """

    config: dict[str, Any]


class RunRecord(RunSettings):
    """What ``run.yaml`` says of the run that a folder belongs to.

    Attributes:
        data_fingerprint: Of its data.
        git_revision: Of the code that began it.
        versions: Of the libraries that it began with.
        changes: What has been changed since, in words.
    """

    data_fingerprint: str
    git_revision: NotRequired[str]
    versions: NotRequired[dict[str, str]]
    changes: NotRequired[list[str]]


def read_run_record(folder: RunFolder) -> RunRecord:
    """Read ``run.yaml``.

    Raises:
        ConfigError: It is missing or damaged.
    """
    return folder.read_record("run.yaml", RunRecord)


_VERSIONS = ("ray", "torch", "numpy", "xarray", "zarr")


def claim(folder: RunFolder, run: Run, fingerprint: str, allowed: Allowed = NOTHING) -> None:
    """Take the folder for a run, or refuse if it is another's.

    What is allowed to have changed is printed, and recorded beside the run's new settings.

    Raises:
        ConfigError: See `check_owner`.
    """
    changes = check_owner(folder, run, fingerprint, allowed)
    if not folder.exists("run.yaml"):
        folder.write("run.yaml", _run_record(run, fingerprint, []))
    elif changes:
        print("continued with changes:", *changes, sep="\n  ", flush=True)
        before = read_run_record(folder).get("changes", [])
        folder.write("run.yaml", _run_record(run, fingerprint, [*before, *changes]))


def check_owner(
    folder: RunFolder, run: Run, fingerprint: str | None, allowed: Allowed = NOTHING
) -> list[str]:
    """Refuse a folder that another run has taken; `fingerprint` of the data, if it is known.

    Returns:
        Differences that matter, and are allowed.

    Raises:
        ConfigError: It holds a run of other settings or other data; lists the differences.
    """
    if not folder.exists("run.yaml"):
        return []
    recorded = read_run_record(folder)
    config = differences(_completed(recorded["config"]), to_tree(run), FREE_TO_CHANGE)
    data = []
    if fingerprint is not None and recorded["data_fingerprint"] != fingerprint:
        data = [f"data fingerprint: {recorded['data_fingerprint']} -> {fingerprint}"]
    refused_config = [] if allowed.changed_config else config
    refused_data = [] if allowed.changed_data else data
    if refused_config or refused_data:
        flags = ["--allow-changed-config"] * bool(refused_config)
        flags += ["--allow-changed-data"] * bool(refused_data)
        raise ConfigError(
            f"the run folder {folder.path} belongs to another run:\n  "
            + "\n  ".join(refused_config + refused_data)
            + "\nchoose another name (--set name=…), or delete that folder; if you mean to "
            f"continue it so: {' '.join(flags)}"
        )
    return config + data


def _completed(recorded: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return recorded settings with the defaults of those that came with a later version.

    A tree that this version cannot read stays as it is; each difference then counts.
    """
    try:
        return to_tree(from_tree(Run, recorded, "run.yaml"))
    except ConfigError:
        return recorded


def _run_record(run: Run, fingerprint: str, changes: Sequence[str]) -> str:
    record = {
        "data_fingerprint": fingerprint,
        "git_revision": _git_revision(),
        "versions": {"sparta-ray": __version__} | {name: version(name) for name in _VERSIONS},
        **({"changes": list(changes)} if changes else {}),
        "config": to_tree(run),
    }
    return yaml.safe_dump(record, sort_keys=False)


def _git_revision() -> str:
    """Return the revision of the code, or that it is not known (an installed package, say)."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return "unknown"
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return result.stdout.strip()


def is_trained(run: Run) -> bool:
    """Return whether all models of a run lie in its folder."""
    folder = RunFolder(run.path)
    return all(has_model(folder.child("models", kind)) for kind in run.models)
