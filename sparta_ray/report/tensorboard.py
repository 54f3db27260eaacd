"""TensorBoard's event files of a run, written from the records that the run leaves.

Records lie in the run folder, which may be remote; event files are made from them where TensorBoard
runs, so that training writes nothing twice. Each stage and each downstream trial is a "run" in
TensorBoard's sense, and the part of a tag before the slash is its group. Records are taken as they
are: a run of another version of this project can be looked at too.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
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
"""Columns of the table of hyper-parameters, the same for every trial, or TensorBoard drops some."""

Record = Mapping[str, Any]


class EventFiles:
    """The event files of one run, kept up with its records."""

    def __init__(self, folder: RunFolder, logdir: Path):
        """Name the run folder, and where event files go.

        Raises:
            ConfigError: No run is there.
        """
        if not folder.exists("run.yaml"):
            raise ConfigError(f"no run at {folder.path}; name a run folder, such as runs/demo")
        self._config = yaml.safe_load(folder.read("run.yaml"))["config"]
        self._folder, self._logdir = folder, logdir
        self._writers: dict[str, SummaryWriter] = {}
        self._read: dict[str, int] = {}
        self._once: set[str] = set()

    def update(self) -> int:
        """Write what is new since the last call; return how many values that is.

        They are in the files some two seconds later.
        """
        count = sum(self._write_stage(record) for record in latest(self._new(HISTORY)))
        count += sum(self._write_trial(name) for name in self._trials())
        if scores := self._first("evaluation/scores.json"):
            count += self._write_scores(scores["scores"])
        return count

    def close(self) -> None:
        """Wait until all of it is in the files; what comes later goes into further ones."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _trials(self) -> list[str]:
        """Return the names of the downstream trials that have begun."""
        end = "-history.jsonl"
        return [n.removesuffix(end) for n in self._folder.names("downstream") if n.endswith(end)]

    def _first(self, name: str) -> dict[str, Any] | None:
        """Return a JSON file's content the first time that it is there."""
        if name in self._once or not self._folder.exists(name):
            return None
        self._once.add(name)
        content = json.loads(self._folder.read(name))
        assert isinstance(content, dict)
        return content

    def _new(self, name: str) -> list[dict[str, Any]]:
        """Return a file's records that have not been read; all, if it was begun again."""
        records = self._folder.read_records(name)
        read = self._read.get(name, 0)
        self._read[name] = len(records)
        return records[read if read <= len(records) else 0 :]

    def _write_stage(self, record: Record) -> int:
        event = record["event"]
        split = f"_{record['split']}" if "split" in record else ""
        writer = self._writer(f"train/{record['stage']}{split}")
        step = record.get("position", record.get("epoch", 0))
        values = dict(_numbers(record))
        for name, value in values.items():
            group = _OWN_GROUPS.get(name, _GROUPS.get(event, event))
            writer.add_scalar(f"{group}/{name}", value, step, record["time"])
        return len(values)

    def _write_trial(self, name: str) -> int:
        count = 0
        for record in self._new(f"downstream/{name}-history.jsonl"):
            values = dict(_numbers(record))
            for key, value in values.items():
                tag = f"downstream_{name.split('-')[1]}/{key}"
                self._writer(f"downstream/{name}").add_scalar(tag, value, record["epoch"])
            count += len(values)
        if trial := self._first(f"downstream/{name}/trial.json"):
            self._write_table(name, trial)
        return count

    def _write_table(self, name: str, trial: Record) -> None:
        """Put a finished trial into the table of hyper-parameters, with its last losses."""
        last = self._folder.read_records(f"downstream/{name}-history.jsonl")[-1]
        settings = {"run": Path(self._folder.path).name, **hyper_parameters(self._config, trial)}
        writer = self._writer(f"downstream/{name}")
        for summary in hparams(settings, dict.fromkeys(_RESULTS, 0.0)):
            writer.file_writer.add_summary(summary)
        for key, value in _numbers(last):
            if f"last/{key}" in _RESULTS:
                writer.add_scalar(f"last/{key}", value, 0)

    def _write_scores(self, scores: Iterable[Record]) -> int:
        """Write the scores of whole fields; a forecast's over its lead in days."""
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
        """Put a score beside the settings of its trial; a forecast's at the farthest lead."""
        parts = [score["model"], score["task"], score["setting"], f"seed{score['seed']}"]
        name, tag = "-".join(filter(None, parts)), f"score/{score['metric']}".replace(" ", "_")
        if f"downstream/{name}" in self._writers and tag in _RESULTS:
            writer = self._writer(f"downstream/{name}")
            writer.add_scalar(tag, score["value"], score["lead_days"] or 0)

    def _writer(self, name: str) -> SummaryWriter:
        if name not in self._writers:
            self._writers[name] = SummaryWriter(str(self._logdir / name), flush_secs=2)
        return self._writers[name]


def latest(records: Iterable[Record]) -> list[Record]:
    """Drop records that a continued run wrote again: the last of each place counts."""
    last: dict[tuple[Any, ...], Record] = {}
    for record in records:
        place = record.get("position", record.get("epoch"))
        if record["event"] != "start":
            last[record["stage"], record["event"], place] = record
    return list(last.values())


def hyper_parameters(config: Mapping[str, Any], trial: Record) -> dict[str, str | float]:
    """Return what a trial was trained with, one flat entry for each setting."""
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
