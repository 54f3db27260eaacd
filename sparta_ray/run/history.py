"""The training history in a run folder."""

from typing import Annotated, Any, NotRequired

import pandas as pd
from pydantic import AfterValidator, ConfigDict, with_config
from typing_extensions import TypedDict

from sparta_ray.base.folder import REMEDY, RunFolder
from sparta_ray.base.records import Count, Finite, damaged
from sparta_ray.training.reporter import HISTORY


@with_config(ConfigDict(extra="allow"))
class HistoryRecord(TypedDict):
    """One record of training, whose further entries are losses and other measures.

    Attributes:
        stage: Kind of the stage.
        event: What it records: ``start``, ``step``, ``epoch`` or ``health``.
        time: Seconds since 1970.
        position: Of the batch in the schedule.
        epoch: From 0.
        precision: Of a start: in which the networks ran.
        device: Of a start: kind of the machines.
        ranks: Of a start: number of workers.
    """

    stage: str
    event: str
    time: NotRequired[Finite]
    position: NotRequired[Count]
    epoch: NotRequired[Count]
    precision: NotRequired[str]
    device: NotRequired[str]
    ranks: NotRequired[Count]


_OF_EVENT = {
    "start": {"position"},
    "step": {"position"},
    "epoch": {"epoch"},
    "health": {"epoch"},
}


def _whole(record: HistoryRecord) -> HistoryRecord:
    """Refuse a record that lacks what its event has."""
    lacking = _OF_EVENT.get(record["event"], set()) - record.keys()
    if lacking:
        raise ValueError(f"a record of {record['event']!r} lacks {', '.join(sorted(lacking))}")
    return record


@with_config(ConfigDict(extra="allow"))
class TrialEpoch(TypedDict):
    """One epoch of a downstream training, whose further entries are losses.

    Attributes:
        epoch: From 0.
    """

    epoch: Count


def read_history(folder: RunFolder) -> list[dict[str, Any]]:
    """Return the records of a run's training so far.

    Raises:
        ConfigError: A line of them is damaged.
    """
    return folder.read_records(HISTORY, Annotated[HistoryRecord, AfterValidator(_whole)])


def read_epochs(folder: RunFolder, trial: str) -> list[dict[str, Any]]:
    """Return the epochs so far of a downstream trial, whose folder is `trial`.

    Raises:
        ConfigError: A line of them is damaged.
    """
    return folder.read_records(f"{trial}-history.jsonl", TrialEpoch)


def last_epoch(folder: RunFolder, trial: str) -> dict[str, Any]:
    """Return the last epoch of a finished downstream trial.

    Raises:
        ConfigError: There is none, or a line is damaged.
    """
    epochs = read_epochs(folder, trial)
    if not epochs:
        raise damaged(folder.child(f"{trial}-history.jsonl"), "it holds no epoch", REMEDY)
    return epochs[-1]


def stage_history(folder: RunFolder, stage: str) -> pd.DataFrame:
    """Return one row an epoch: ``epoch``, ``lr``, ``train_…`` and ``validation_…`` losses.

    An epoch that was repeated after an interruption counts as it was last trained.
    """
    records = [
        {name: value for name, value in record.items() if name not in ("stage", "event", "time")}
        for record in read_history(folder)
        if record["stage"] == stage and record["event"] == "epoch"
    ]
    if not records:
        return pd.DataFrame(columns=["epoch"])
    return pd.DataFrame(records).drop_duplicates("epoch", keep="last").sort_values("epoch")


def last_validation(folder: RunFolder, stage: str, loss: str) -> float | None:
    """Return a stage's last validation loss, or None if it has no such loss."""
    history = stage_history(folder, stage)
    column = f"validation_{loss}"
    return float(history[column].iloc[-1]) if column in history and len(history) else None


def training_machines(folder: RunFolder) -> list[str]:
    """Return the kinds of machines that trained the run, such as ``1 x cpu in float32``."""
    starts = [record for record in read_history(folder) if record["event"] == "start"]
    return list(dict.fromkeys(_machines(s) for s in starts))


def _machines(start: dict[str, Any]) -> str:
    told = {name: start.get(name, "unknown") for name in ("ranks", "device", "precision")}
    return "{ranks} x {device} in {precision}".format(**told)
