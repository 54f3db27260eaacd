"""The list of a run's checkpoints that count, settled before training continues from the last.

Ray Train keeps the list in a file, and rewrites it after every checkpoint. Killed in between, a run
may leave a list torn, a checkpoint half written, or one that no list names.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.training.checkpoint import CARD, checkpoint_problem

FOLDER = "checkpoints"
_LIST = "checkpoint_manager_snapshot.json"
_PREFIX = "checkpoint_20"
"""Of a checkpoint's folder, which is named by its time."""


@dataclass(frozen=True)
class Listed:
    """A checkpoint that counts.

    Attributes:
        name: Of its folder.
        stage: Index of its stage.
        position: Batches of the stage that were done.
    """

    name: str
    stage: int
    position: int

    def __str__(self) -> str:
        return f"{self.name} (stage {self.stage + 1}, step {self.position})"


def settle(run_folder: RunFolder, allow_older: bool) -> None:
    """See that the newest checkpoint is whole, that the list is, and that nothing else is left.

    A torn list is made again from the checkpoints that are whole.

    Raises:
        ConfigError: The newest is damaged and `allow_older` is not set, or none is whole.
    """
    folder = RunFolder(run_folder.child(FOLDER))
    if not folder.exists(_LIST):
        listed: list[Listed] = []
    elif (read := read_list(folder)) is None:
        listed = [c for c in _found(folder) if _damage(folder, c) is None]
        _write_list(folder, listed)
    else:
        listed = _without_damaged(folder, read, allow_older)
        if listed != read:
            _write_list(folder, listed)
    known = {checkpoint.name for checkpoint in listed}
    for name in folder.names(""):
        if name.startswith(_PREFIX) and name not in known:
            folder.remove(name)


def read_list(folder: RunFolder) -> list[Listed] | None:
    """Return the checkpoints that count, newest last; None if the list is torn."""
    try:
        tree = json.loads(folder.read(_LIST))
        return [
            Listed(entry["checkpoint_dir_name"], metrics["stage"], metrics["position"])
            for entry in tree["checkpoint_results"]
            for metrics in [entry["metrics"]]
        ]
    except (ValueError, KeyError, TypeError):
        return None


def _without_damaged(
    folder: RunFolder, listed: Sequence[Listed], allow_older: bool
) -> list[Listed]:
    """Return the checkpoints up to the newest that is whole."""
    kept = list(listed)
    while kept and (wrong := _damage(folder, kept[-1])) is not None:
        bad = kept.pop()
        if allow_older:
            print(f"left out checkpoint {bad}: {wrong}", flush=True)
            continue
        before = next((c for c in reversed(kept) if _damage(folder, c) is None), None)
        remedy = (
            "none before it is whole either, so the run must be trained anew under another name "
            "(--set name=…)"
            if before is None
            else f"the one before is {before}; to continue from it: --allow-older-checkpoint"
        )
        raise ConfigError(
            f"the newest checkpoint {folder.child(str(bad))} is damaged: {wrong}; {remedy}"
        )
    if listed and not kept:
        raise ConfigError(
            f"no checkpoint in {folder.path} is whole; train anew under another name (--set name=…)"
        )
    return kept


def _damage(folder: RunFolder, checkpoint: Listed) -> str | None:
    return checkpoint_problem(RunFolder(folder.child(checkpoint.name)))


def _found(folder: RunFolder) -> list[Listed]:
    """Return the checkpoints that lie there with a card, in the order of their times."""
    found = []
    for name in folder.names(""):
        card = f"{name}/{CARD}"
        if name.startswith(_PREFIX) and folder.exists(card):
            try:
                tree = json.loads(folder.read(card))
                found.append(Listed(name, tree["stage"], tree["position"]))
            except (ValueError, KeyError, TypeError):  # torn: it was never finished
                continue
    return found


def _write_list(folder: RunFolder, listed: Sequence[Listed]) -> None:
    """Write the list as Ray Train reads it."""
    entries = [
        {
            "version": 0,
            "checkpoint_dir_name": checkpoint.name,
            "metrics": {"stage": checkpoint.stage, "position": checkpoint.position},
        }
        for checkpoint in listed
    ]
    tree = {
        "ray_version": version("ray"),
        "checkpoint_results": entries,
        "checkpoint_report_indices": list(range(len(entries))),
        "latest_checkpoint_result": entries[-1] if entries else None,
        "pending_training_results": [],
        "pending_validation_specs": [],
        "current_report_index": len(entries),
        "validated_checkpoint_dir_names": [],
        "timed_out_validation_checkpoint_dir_names": [],
        "failed_validation_checkpoint_dir_names": [],
    }
    folder.write(_LIST, json.dumps(tree))
