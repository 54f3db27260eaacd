"""The checkpoints of a run: one folder each, the newest few kept.

A checkpoint counts once its card, the last of its files, is there. Whatever has no card was never
finished, because the run was killed in between, and is deleted.
"""

import json
from collections.abc import Sequence

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.training.checkpoint import CARD, SavedState, checkpoint_problem, save_state

FOLDER = "checkpoints"
_PREFIXES = ("checkpoint_stage", "checkpoint_20")
"""Of checkpoints as they are named now, and by date as earlier versions named them."""
_MARKER = "layout.json"
"""Written by the driver, so that a worker can see that it reaches the driver's folder."""


class CheckpointFolder:
    """Writes, finds and rotates the checkpoints of a run, at a local path or any fsspec URL.

    Folders are named by stage and step, so that sorted by name they are in the order of training.
    Earlier versions named them by date; those sort before all others and can be continued from.
    """

    def __init__(self, run_folder: RunFolder):
        """Name the folder; nothing is created yet."""
        self._folder = RunFolder(run_folder.child(FOLDER))

    def settle(self, allow_older: bool) -> None:
        """Check the newest checkpoint and delete unfinished ones, before training begins.

        Args:
            allow_older: Whether a damaged newest checkpoint is deleted and an older one taken.

        Raises:
            ConfigError: The newest is damaged and `allow_older` is not set, or none is whole.
        """
        kept = self._without_damaged(self._finished(), allow_older)
        self._delete_all_but(kept)
        self._folder.write(_MARKER, json.dumps({"layout": 2}))

    def newest(self) -> RunFolder | None:
        """Return the newest checkpoint's folder, or None before the first.

        Raises:
            ConfigError: This machine does not reach the folder that the driver settled.
        """
        if not self._folder.exists(_MARKER):
            raise ConfigError(
                f"this machine does not see {self._folder.path}, which the run's driver wrote to; "
                "set folder to storage that all machines share"
            )
        finished = self._finished()
        return self._checkpoint(finished[-1]) if finished else None

    def save(self, saved: SavedState, keep: int) -> None:
        """Write a checkpoint, then delete all but the newest `keep`."""
        name = f"checkpoint_stage{saved.stage + 1}_step{saved.position:08d}"
        self._delete(name)
        save_state(self._checkpoint(name), saved)
        self._delete_all_but(self._finished()[-keep:])

    def _without_damaged(self, finished: Sequence[str], allow_older: bool) -> list[str]:
        """Return the checkpoints up to the newest that is whole."""
        kept = list(finished)
        while kept and (problem := self._problem(kept[-1])) is not None:
            damaged = kept.pop()
            if not allow_older:
                raise ConfigError(self._describe_damage(damaged, problem, kept))
            print(f"left out checkpoint {damaged}: {problem}", flush=True)
        if finished and not kept:
            raise ConfigError(
                f"no checkpoint in {self._folder.path} is whole; train again under another name "
                "(--set name=…)"
            )
        return kept

    def _describe_damage(self, damaged: str, problem: str, older: Sequence[str]) -> str:
        """Return what is wrong with the newest checkpoint and what can be done about it."""
        whole = next((name for name in reversed(older) if self._problem(name) is None), None)
        remedy = (
            "none of the older ones is whole either, so train again under another name "
            "(--set name=…)"
            if whole is None
            else f"the one before is {whole}; to continue from it: --allow-older-checkpoint"
        )
        return (
            f"the newest checkpoint {self._folder.child(damaged)} is damaged: {problem}; {remedy}"
        )

    def _finished(self) -> list[str]:
        """Return the names of the checkpoints that have a card, oldest first."""
        return [name for name in self._all() if self._folder.exists(f"{name}/{CARD}")]

    def _all(self) -> list[str]:
        return [name for name in self._folder.names("") if name.startswith(_PREFIXES)]

    def _checkpoint(self, name: str) -> RunFolder:
        return RunFolder(self._folder.child(name))

    def _problem(self, name: str) -> str | None:
        return checkpoint_problem(self._checkpoint(name))

    def _delete_all_but(self, kept: Sequence[str]) -> None:
        for name in self._all():
            if name not in kept:
                self._delete(name)

    def _delete(self, name: str) -> None:
        """Delete a checkpoint, the card first: half deleted, it must not count."""
        self._folder.remove_if_there(f"{name}/{CARD}")
        if self._folder.exists(name):
            self._folder.remove(name)
