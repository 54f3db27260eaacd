"""Lengths of time: how long a step is, and what a number of steps comes to, in words."""

import re
from dataclasses import dataclass

import numpy as np

from sparta_ray.base.errors import ConfigError


def step_length(text: str) -> np.timedelta64:
    """Return a step such as ``6h``, ``1d`` or ``5d``, in whole hours.

    Raises:
        ConfigError: It is neither whole days nor hours that divide a day.
    """
    found = re.fullmatch(r"(\d+)([hd])", text)
    hours = int(found[1]) * (24 if found[2] == "d" else 1) if found else 0
    if hours < 1 or (hours % 24 and 24 % hours):
        raise ConfigError(
            f"a step is whole days, such as 1d or 5d, or hours that divide a day, such as 6h; "
            f"got {text!r}"
        )
    return np.timedelta64(hours, "h")


def span(length: np.timedelta64) -> str:
    """Return a length of time in words.

    >>> span(np.timedelta64(48, "h"))
    '2 days'
    """
    minutes = int(length // np.timedelta64(1, "m"))
    sizes = (("day", 24 * 60), ("hour", 60), ("minute", 1))
    number, unit = next((minutes // size, unit) for unit, size in sizes if minutes % size == 0)
    return f"{number} {unit}{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class StepLength:
    """The length of a step of the data, and how numbers of steps are worded.

    A step of one day is called a day, any other a step.

    Attributes:
        hours: Length of a step [hours].
    """

    hours: int

    @classmethod
    def of(cls, text: str) -> "StepLength":
        """Return the length that ``data.step`` states, such as ``6h``.

        Raises:
            ConfigError: It is neither whole days nor hours that divide a day.
        """
        return cls(int(step_length(text) // np.timedelta64(1, "h")))

    @property
    def is_day(self) -> bool:
        """Whether a step is one day."""
        return self.hours == 24

    @property
    def noun(self) -> str:
        """What one step is called: ``day`` or ``step``."""
        return "day" if self.is_day else "step"

    @property
    def nouns(self) -> str:
        """What several steps are called: ``days`` or ``steps``."""
        return f"{self.noun}s"

    @property
    def unit(self) -> str:
        """The unit of leads on an axis: ``hours`` for steps below a day, or else ``days``."""
        return "days" if self.hours % 24 == 0 else "hours"

    def in_units(self, steps: float) -> float:
        """Return how long some steps last, in `unit`."""
        return steps * self.hours / (24 if self.unit == "days" else 1)

    def lasting(self, steps: int) -> str:
        """Return how long some steps last, such as ``25 days``.

        >>> StepLength(6).lasting(1), StepLength(6).lasting(4), StepLength(24).lasting(25)
        ('6 hours', '1 day', '25 days')
        """
        return span(np.timedelta64(steps * self.hours, "h"))

    def counted(self, steps: int) -> str:
        """Return a number of steps with their length.

        >>> StepLength(24).counted(1461), StepLength(6).counted(1461)
        ('1,461 days', '1,461 steps of 6 hours')
        """
        if self.is_day:
            return f"{steps:,} day{'' if steps == 1 else 's'}"
        return f"{steps:,} step{'' if steps == 1 else 's'} of {self.lasting(1)}"

    def worded(self, text: str) -> str:
        """Return a text with ``{step}`` and ``{steps}`` replaced by what steps are called."""
        return text.replace("{steps}", self.nouns).replace("{step}", self.noun)


DAY = StepLength(24)
"""The usual step."""
