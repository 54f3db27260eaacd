"""The study folder: what the study is, and how each of its trials fared."""

from collections.abc import Sequence

import yaml

from sparta_ray.config import ConfigError, to_tree
from sparta_ray.run_folder import RunFolder
from sparta_ray.studies.config import StudyConfig
from sparta_ray.studies.trial import StudyTrial

_RECORD = "study.yaml"


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
        if not self.exists(_RECORD):
            return
        recorded = yaml.safe_load(self.read(_RECORD))["trials"]
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
        self.write(_RECORD, yaml.safe_dump(content, sort_keys=False))

    def keep_error(self, trial: str, trace: str) -> None:
        """Keep why a trial failed last."""
        self.write(_error_file(trial), trace)

    def forget_error(self, trial: str) -> None:
        """Drop the error of a trial that has succeeded since."""
        self.remove_if_there(_error_file(trial))


def _error_file(trial: str) -> str:
    return f"errors/{trial}.txt"
