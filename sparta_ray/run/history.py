"""The training history in a run folder."""

import pandas as pd

from sparta_ray.base.folder import RunFolder
from sparta_ray.training.reporter import HISTORY


def stage_history(folder: RunFolder, stage: str) -> pd.DataFrame:
    """Return one row an epoch: ``epoch``, ``lr``, ``train_…`` and ``validation_…`` losses.

    An epoch that was repeated after an interruption counts as it was last trained.
    """
    records = [
        {name: value for name, value in record.items() if name not in ("stage", "event", "time")}
        for record in folder.read_records(HISTORY)
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
    starts = [record for record in folder.read_records(HISTORY) if record["event"] == "start"]
    return list(dict.fromkeys(f"{s['ranks']} x {s['device']} in {s['precision']}" for s in starts))
