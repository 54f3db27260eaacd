"""What a trial's epochs gave, as its run folder has it, and whether it was stopped early."""

import json
from typing import Any

from sparta_ray.run_folder import RunFolder
from sparta_ray.training.reporter import HISTORY

_STOPPED = "stopped.json"


def epochs_of(folder: RunFolder, stage: str) -> list[dict[str, Any]]:
    """Return each epoch of a stage that the records hold: its losses and the embeddings' health.

    Names carry their stage, such as ``pretrain/validation_loss``; ``epochs`` counts from 1. An
    epoch that was repeated after an interruption counts as it came out last.
    """
    epochs: dict[int, dict[str, Any]] = {}
    for record in folder.read_records(HISTORY):
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
