"""What is known of the data of a study's trials, looked up once for trials that share them."""

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparta_ray.base.config import to_tree
from sparta_ray.base.durations import DAY, StepLength
from sparta_ray.base.errors import ConfigError
from sparta_ray.data.preparation.facts import DataFacts, inspect_data
from sparta_ray.data.preparation.recipe import DataConfig
from sparta_ray.studies.config import ExpectedData


class StudyData:
    """Facts of a study's data by their settings, so that a remote source is opened once."""

    def __init__(self) -> None:
        self._known: dict[str, DataFacts | ConfigError] = {}

    def inspect(self, config: DataConfig) -> DataFacts:
        """Return what is known of some data.

        Raises:
            ConfigError: See `inspect_data`; raised again each time that the data are asked for.
        """
        key = json.dumps(to_tree(config), sort_keys=True)
        if key not in self._known:
            try:
                self._known[key] = inspect_data(config)
            except ConfigError as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, ConfigError):
            raise found
        return found


@dataclass(frozen=True)
class DataSize:
    """All that the cost of a training depends on.

    Attributes:
        days: Beginnings of the steps, in whole days or else hours.
        grid: Longitudes and latitudes.
    """

    days: NDArray[np.datetime64]
    grid: tuple[int, int]


def size_of(data: DataFacts) -> DataSize:
    """Return the size of data that were looked up."""
    return DataSize(data.layout.days, data.layout.grid)


def size_stated(expected: ExpectedData, step: StepLength = DAY) -> DataSize:
    """Return the size that a study file states, for steps so long."""
    hours = np.arange(expected.days) * np.timedelta64(step.hours, "h")
    starts = np.datetime64(expected.first_day, "h") + hours
    return DataSize(starts.astype("M8[D]") if step.hours % 24 == 0 else starts, expected.grid)
