"""What a study's folder says of its trials, which the report reads and a continued study checks."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from sparta_ray.base.folder import RunFolder

STUDY_FILE = "study.yaml"
"""Lists the trials of a study."""


class TrialRecord(TypedDict):
    """One trial of a study.

    Attributes:
        name: Of its run, whose folder lies in the study's.
        variant: Name of its variant.
    """

    name: Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
    variant: str


class StudyRecord(TypedDict):
    """A study's record, without what only people read.

    Attributes:
        trials: All of its trials.
    """

    trials: list[TrialRecord]


def read_study_record(folder: RunFolder) -> StudyRecord:
    """Read a study's record.

    Raises:
        ConfigError: It is missing or damaged.
    """
    return folder.read_record(STUDY_FILE, StudyRecord)
