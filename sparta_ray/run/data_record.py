"""What a report says of a run's data, kept in the run folder, so that it needs no store."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import TypedDict

from sparta_ray.base.folder import RunFolder
from sparta_ray.base.records import Count, Fingerprint
from sparta_ray.data.store.metadata import MOST_STEPS, Provenance
from sparta_ray.data.store.store import Store

_FILE = "data.json"

_NOT_STATED = {"title": "untitled", "source": "not stated", "licence": "", "simulated": False}
"""What reports say of data whose record lacks it."""


@dataclass(frozen=True)
class DataRecord:
    """The data of a run, without the fields.

    Attributes:
        days: Beginnings of the steps, in whole days or else hours, shape (T,).
        variables: Labels of the channels.
        grid: Numbers of longitudes and latitudes.
        provenance: Where the data come from.
        fingerprint: Of the fields.
    """

    days: NDArray[np.datetime64]
    variables: tuple[str, ...]
    grid: tuple[int, int]
    provenance: dict[str, Any]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.days)

    @classmethod
    def of(cls, store: Store) -> "DataRecord":
        """Return the record of a store."""
        return cls(store.days, store.variables, store.grid, store.provenance, store.fingerprint)


def save_data_record(folder: RunFolder, store: Store) -> None:
    """Keep the record of a run's store in the run folder."""
    record = DataRecord.of(store)
    unit, _ = np.datetime_data(record.days.dtype)
    since_1970 = record.days.astype(np.int64)
    step = int(since_1970[1] - since_1970[0]) if len(record) > 1 else 1
    assert (np.diff(since_1970) == step).all(), "the steps of a store are consecutive"
    tree = {
        "steps": {"unit": unit, "first": int(since_1970[0]), "step": step, "count": len(record)},
        "variables": record.variables,
        "grid": record.grid,
        "provenance": record.provenance,
        "fingerprint": record.fingerprint,
    }
    folder.write(_FILE, json.dumps(tree))


def data_of(folder: RunFolder, store: str) -> DataRecord:
    """Return the record in a run folder or, of a folder without one, that of the store.

    Args:
        folder: The run folder.
        store: Path of the run's store; earlier versions kept no record in the run folder.

    Raises:
        ConfigError: There is neither.
    """
    if not folder.exists(_FILE):
        return DataRecord.of(Store(store))
    tree = folder.read_record(_FILE, _Record, "delete it and run jobs/evaluate.py again")
    steps = tree["steps"]
    since_1970 = steps["first"] + steps["step"] * np.arange(steps["count"])
    return DataRecord(
        since_1970.astype(f"M8[{steps['unit']}]"),
        tuple(tree["variables"]),
        tree["grid"],
        _NOT_STATED | dict(tree["provenance"]),
        tree["fingerprint"],
    )


_Time = Annotated[int, Field(ge=-(10**9), le=10**9)]
"""A number of days or hours since 1970."""


class _Steps(TypedDict):
    unit: Literal["D", "h"]
    first: _Time
    step: Annotated[_Time, Field(ge=1)]
    count: Annotated[int, Field(ge=1, le=MOST_STEPS)]


class _Record(TypedDict):
    steps: _Steps
    variables: list[str]
    grid: tuple[Count, Count]
    provenance: Provenance
    fingerprint: Fingerprint
