"""What the data of a study's trials are like, looked up once for trials that share them."""

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparta_ray.base.config import to_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.data.preparation.recipe import DataConfig
from sparta_ray.data.store.layout import StoreLayout
from sparta_ray.run.inspect import layout_of
from sparta_ray.studies.config import ExpectedData


@dataclass(frozen=True)
class DataSize:
    """All that the cost of a training depends on.

    Attributes:
        days: Calendar days.
        grid: Longitudes and latitudes.
    """

    days: NDArray[np.datetime64]
    grid: tuple[int, int]


class Layouts:
    """Layouts by the data's settings; a remote source is opened once."""

    def __init__(self) -> None:
        self._known: dict[str, StoreLayout | ConfigError] = {}

    def of(self, data: DataConfig) -> StoreLayout:
        """Return the layout.

        Raises:
            ConfigError: See `layout_of`, each time that it is asked for.
        """
        key = json.dumps(to_tree(data), sort_keys=True)
        if key not in self._known:
            try:
                self._known[key] = layout_of(data)
            except ConfigError as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, ConfigError):
            raise found
        return found


def size_of(layout: StoreLayout) -> DataSize:
    """Return the size of data that were looked up."""
    return DataSize(layout.days, (len(layout.longitude), len(layout.latitude)))


def size_stated(expected: ExpectedData) -> DataSize:
    """Return the size that a study file states."""
    days = np.datetime64(expected.first_day, "D") + np.arange(expected.days)
    return DataSize(days, expected.grid)
