"""The study folder: what the study is, and how each of its trials fared."""

import json
from collections.abc import Sequence
from typing import Any

import yaml

from sparta_ray.base.config import to_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.run.history import read_history
from sparta_ray.run.study_record import STUDY_FILE, read_study_record
from sparta_ray.studies.config import StudyConfig
from sparta_ray.studies.trial import StudyTrial


class StudyFolder(RunFolder):
    """Reads and writes the files of one study; its trials' run folders lie in it."""

    def check(self, trials: Sequence[StudyTrial]) -> None:
        """Refuse a folder of another study; one may grow by variants and seeds, not lose any.

        That trials of the same name are the same runs is checked by their own folders.

        Raises:
            ConfigError: Names what the folder holds.
        """
        if self.exists("run.yaml"):
            raise ConfigError(f"{self.path} is a run's folder; choose another name for the study")
        if not self.exists(STUDY_FILE):
            return
        recorded = read_study_record(self)["trials"]
        gone = {trial["name"] for trial in recorded} - {trial.name for trial in trials}
        if gone:
            raise ConfigError(
                f"the study folder {self.path} belongs to another study: it has the trials "
                f"{', '.join(sorted(gone))}, which this one has not; choose another name "
                "(--set name=…), or delete that folder"
            )

    def record(self, study: StudyConfig, trials: Sequence[StudyTrial]) -> None:
        """Write what the study is, for whoever reads its folder."""
        content = {"study": to_tree(study), "trials": [trial.record() for trial in trials]}
        self.write(STUDY_FILE, yaml.safe_dump(content, sort_keys=False))

    def keep_error(self, trial: str, trace: str) -> None:
        """Keep why a trial failed last."""
        self.write(_error_file(trial), trace)

    def forget_error(self, trial: str) -> None:
        """Drop the error of a trial that has succeeded since."""
        self.remove_if_there(_error_file(trial))


def _error_file(trial: str) -> str:
    return f"errors/{trial}.txt"


_STOPPED = "stopped.json"


def epochs_of(folder: RunFolder, stage: str) -> list[dict[str, Any]]:
    """Return each epoch of a stage that the records hold: its losses and the embeddings' health.

    Names carry their stage, such as ``pretrain/validation_loss``; ``epochs`` counts from 1. An
    epoch that was repeated after an interruption counts as it came out last.
    """
    epochs: dict[int, dict[str, Any]] = {}
    for record in read_history(folder):
        if record["stage"] == stage and record["event"] in ("epoch", "health"):
            number = record["epoch"] + 1
            measures = {k: v for k, v in record.items() if k not in _COORDINATES}
            told = {f"{stage}/{name}": value for name, value in measures.items()}
            epochs[number] = epochs.get(number, {"epochs": number}) | told
    return [epochs[number] for number in sorted(epochs)]


_COORDINATES = {"stage", "time", "event", "epoch"}


def stop_early(folder: RunFolder, epochs: int) -> None:
    """Record that a trial was stopped after some epochs, since others were better."""
    folder.write(_STOPPED, json.dumps({"epochs": epochs}))


def was_stopped(folder: RunFolder) -> bool:
    """Return whether a trial was stopped early."""
    return folder.exists(_STOPPED)
