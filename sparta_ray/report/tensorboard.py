"""TensorBoard event files of a run, made from the records in its run folder.

Records are the only history that a run keeps: they can be appended to in a bucket, continue after a
kill, and are there for runs of earlier versions too. Event files are made from them where
TensorBoard runs. Each stage and each downstream trial is a run in TensorBoard's sense; the part of
a tag before the slash is its group.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import hparams

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.evaluation.results import load_whole_scores
from sparta_ray.run.history import last_epoch, read_epochs, read_history
from sparta_ray.run.ownership import RunSettings
from sparta_ray.run.trial import read_trial
from sparta_ray.training.reporter import HISTORY
from sparta_ray.training.timing import PARTS

_GROUPS = {"step": "losses", "epoch": "epoch_means", "health": "embedding_health"}
_OWN_GROUPS = {
    "rows_per_second": "throughput",
    **{f"{part}_share": "throughput" for part in PARTS},
    "lr": "optimiser",
    "gradient_norm": "optimiser",
}
_COORDINATES = {"position", "epoch", "time"}
_RESULTS = (
    "score/rrmse", "score/accuracy", "score/cross-entropy", "score/realism", "score/latent_density",
    "last/validation_loss", "last/validation_accuracy", "last/loss",
)  # fmt: skip
"""Columns of the HPARAMS table, the same for every trial, because TensorBoard drops others."""

Record = Mapping[str, Any]


class EventFiles:
    """The event files of one run, which follow its records as they are written."""

    def __init__(self, folder: RunFolder, logdir: Path):
        """Take a run folder, and the local folder for the event files.

        Raises:
            ConfigError: The folder has no run.
        """
        if not folder.exists("run.yaml"):
            raise ConfigError(f"no run at {folder.path}; name a run folder, such as runs/demo")
        self._config = folder.read_record("run.yaml", RunSettings)["config"]
        self._folder, self._logdir = folder, logdir
        self._writers: dict[str, SummaryWriter] = {}
        self._last_step: dict[str, int] = {}
        self._read: dict[str, int] = {}
        self._once: set[str] = set()

    def update(self) -> int:
        """Write the records that are new since the last call and return the number of values.

        The values reach the files about two seconds later.
        """
        count = sum(
            self._write_stage(record) for record in self._new(HISTORY, read_history(self._folder))
        )
        count += sum(self._write_trial(name) for name in self._trials())
        if self._is_new("evaluation/scores.json"):
            count += self._write_scores(map(asdict, load_whole_scores(self._folder)))
        return count

    def close(self) -> None:
        """Flush and close the files; later records go into new ones."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _trials(self) -> list[str]:
        """Return the names of the downstream trials that have started."""
        end = "-history.jsonl"
        return [n.removesuffix(end) for n in self._folder.names("downstream") if n.endswith(end)]

    def _is_new(self, name: str) -> bool:
        """Return whether a file is found for the first time."""
        if name in self._once or not self._folder.exists(name):
            return False
        self._once.add(name)
        return True

    def _new(self, name: str, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the records of a file that were not read yet; all of them if it was rewritten."""
        read = self._read.get(name, 0)
        self._read[name] = len(records)
        return records[read if read <= len(records) else 0 :]

    def _write_stage(self, record: Record) -> int:
        event, stage = record["event"], f"train/{record['stage']}"
        if event == "start":  # steps beyond the checkpoint are trained again
            for split in ("train", "validation"):
                self._rewind(f"{stage}_{split}", record["position"] + 1)
            return 0
        name = f"{stage}_{record['split']}" if "split" in record else stage
        step = record.get("position", record.get("epoch", 0))
        if event == "epoch":
            self._rewind(name, step)
        group = _GROUPS.get(event, event)
        values = {f"{_OWN_GROUPS.get(key, group)}/{key}": value for key, value in _numbers(record)}
        return self._add(name, values, step, record.get("time"))

    def _write_trial(self, trial: str) -> int:
        count, name = 0, f"downstream/{trial}"
        for record in self._new(name, read_epochs(self._folder, name)):
            self._rewind(name, record["epoch"])
            group = f"downstream_{trial.split('-')[1]}"
            values = {f"{group}/{key}": value for key, value in _numbers(record)}
            count += self._add(name, values, record["epoch"])
        if self._is_new(f"{name}/trial.json"):
            self._write_table(trial, asdict(read_trial(self._folder, name)))
        return count

    def _add(
        self, name: str, values: Mapping[str, float], step: int, seconds: float | None = None
    ) -> int:
        """Write values by tag and return their number."""
        for tag, value in values.items():
            self._writer(name).add_scalar(tag, value, step, seconds)
        self._last_step[name] = max(step, self._last_step.get(name, step))
        return len(values)

    def _rewind(self, name: str, step: int) -> None:
        """Tell TensorBoard to forget what was written from a step on, if anything was."""
        if self._last_step.get(name, step - 1) >= step:
            restart = Event(session_log=SessionLog(status=SessionLog.START))
            self._writer(name).file_writer.add_event(restart, step)
            self._last_step[name] = step - 1

    def _write_table(self, name: str, trial: Record) -> None:
        """Add a finished trial to the HPARAMS table, with the losses of its last epoch."""
        last = last_epoch(self._folder, f"downstream/{name}")
        settings = {"run": Path(self._folder.path).name, **hyper_parameters(self._config, trial)}
        writer = self._writer(f"downstream/{name}")
        for summary in hparams(settings, dict.fromkeys(_RESULTS, 0.0)):
            writer.file_writer.add_summary(summary)
        for key, value in _numbers(last):
            if f"last/{key}" in _RESULTS:
                writer.add_scalar(f"last/{key}", value, 0)

    def _write_scores(self, scores: Iterable[Record]) -> int:
        """Write the scores that are over all variables; a forecast's step is its lead in steps."""
        whole = [score for score in scores if score["variable"] is None]
        for score in whole:
            seed = "" if score["seed"] is None else f"seed{score['seed']}"
            name = "-".join(filter(None, [score["model"], score["setting"], seed]))
            tag = f"scores_{score['task']}/{score['metric']}".replace(" ", "_")
            writer = self._writer(f"scores/{name}".replace(" ", "_"))
            writer.add_scalar(tag, score["value"], score["lead_days"] or 0)
            self._add_to_table(score)
        return len(whole)

    def _add_to_table(self, score: Record) -> None:
        """Add a score to its trial's row of the HPARAMS table, which shows the longest lead."""
        parts = [score["model"], score["task"], score["setting"], f"seed{score['seed']}"]
        name, tag = "-".join(filter(None, parts)), f"score/{score['metric']}".replace(" ", "_")
        if f"downstream/{name}" in self._writers and tag in _RESULTS:
            writer = self._writer(f"downstream/{name}")
            writer.add_scalar(tag, score["value"], score["lead_days"] or 0)

    def _writer(self, name: str) -> SummaryWriter:
        if name not in self._writers:
            self._writers[name] = SummaryWriter(str(self._logdir / name), flush_secs=2)
        return self._writers[name]


def hyper_parameters(config: Mapping[str, Any], trial: Record) -> dict[str, str | float]:
    """Return the settings of a trial's training as flat entries."""
    task = config["downstream"][trial["task"]]
    settings = task[trial["setting"]] if trial["setting"] else task
    named = {f"with_{name}": value for name, value in settings.items()}
    return {
        name: value if isinstance(value, int | float) else str(value)
        for name, value in {**trial, **named}.items()
    }


def _numbers(record: Record) -> Iterator[tuple[str, float]]:
    for name, value in record.items():
        if isinstance(value, int | float) and name not in _COORDINATES:
            yield name, float(value)
