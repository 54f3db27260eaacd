"""Chronological splits: which days train, validate and test, by count."""

from dataclasses import dataclass as plain_dataclass
from typing import Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT

SplitName = Literal["train", "validation", "test"]


@plain_dataclass(frozen=True)
class Split:
    """A run of consecutive days ``start … stop - 1`` of a store."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SplitConfig:
    """Shares of a chronological split; the test part is the rest.

    Attributes:
        train: Share of the days for training.
        validation: Share of the days for validation.
    """

    train: float = Field(default=0.6, gt=0, lt=1)
    validation: float = Field(default=0.2, gt=0, lt=1)

    @model_validator(mode="after")
    def _leave_a_test_part(self) -> "SplitConfig":
        if self.train + self.validation >= 1:
            raise ValueError(
                f"train {self.train} + validation {self.validation} leaves no test days; "
                "lower one of them"
            )
        return self


def split_days(whole: Split, config: SplitConfig) -> dict[SplitName, Split]:
    """Cut a run of days into train, validation and test.

    Counts are rounded down, as published: 23,386 days give 14,031, 4,677 and 4,678.
    """
    train = whole.start + int(config.train * len(whole))
    validation = train + int(config.validation * len(whole))
    return {
        "train": Split(whole.start, train),
        "validation": Split(train, validation),
        "test": Split(validation, whole.stop),
    }
