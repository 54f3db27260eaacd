"""TensorBoard's event files of a run, written from the records that the run leaves.

Records lie in the run folder, which may be remote; event files are made from them where TensorBoard
runs, so that training writes nothing twice. Each stage and each downstream trial is a "run" in
TensorBoard's sense, and the part of a tag before the slash is its group.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

from sparta_ray.config import ConfigError, from_tree, to_tree
from sparta_ray.downstream.trial import Trial, is_finished, task_config, trials
from sparta_ray.evaluation.results import is_evaluated, load_results
from sparta_ray.evaluation.score_record import Score
from sparta_ray.run import Run
from sparta_ray.run_folder import RunFolder
from sparta_ray.training.reporter import HISTORY

_GROUPS = {"step": "losses", "epoch": "epoch_means", "health": "embedding_health"}
_OWN_GROUPS = {
    "rows_per_second": "throughput",
    "wait_share": "throughput",
    "lr": "optimiser",
    "gradient_norm": "optimiser",
}
_COORDINATES = {"position", "epoch", "time"}

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
        recorded = yaml.safe_load(folder.read("run.yaml"))
        self._run = from_tree(Run, recorded["config"], f"{folder.path}/run.yaml")
        self._folder, self._logdir = folder, logdir
        self._writers: dict[str, SummaryWriter] = {}
        self._read: dict[str, int] = {}
        self._tabled: set[str] = set()
        self._scored = False

    def update(self) -> int:
        """Write what is new since the last call; return how many values that is."""
        count = sum(self._write_stage(record) for record in latest(self._new(HISTORY)))
        for trial in trials(self._run):
            count += self._write_trial(trial)
        if not self._scored and is_evaluated(self._folder, self._run.evaluation):
            self._scored = True
            count += self._write_scores(load_results(self._folder).scores)
        for writer in self._writers.values():
            writer.flush()
        return count

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

    def _write_trial(self, trial: Trial) -> int:
        records = self._new(f"{trial.folder}-history.jsonl")
        writer = self._writer(trial.folder) if records else None
        for record in records:
            for name, value in _numbers(record):
                assert writer is not None
                writer.add_scalar(f"downstream_{trial.task}/{name}", value, record["epoch"])
        if records and trial.name not in self._tabled and is_finished(self._folder, trial):
            self._tabled.add(trial.name)
            self._write_table(trial, records[-1])
        return len(records)

    def _write_table(self, trial: Trial, last: Record) -> None:
        """Put a finished trial into the table of hyper-parameters, with its last losses."""
        results = {f"last/{name}": value for name, value in _numbers(last)}
        writer = self._writer(trial.folder)
        for summary in hparams(hyper_parameters(self._run, trial), results):
            writer.file_writer.add_summary(summary)
        for name, value in results.items():
            writer.add_scalar(name, value, 0)

    def _write_scores(self, scores: Iterable[Score]) -> int:
        """Write the scores of whole fields; a forecast's over its lead in days."""
        whole = [score for score in scores if score.variable is None]
        for score in whole:
            writer = self._writer(f"scores/{_name_of(score)}")
            tag = f"scores_{score.task}/{score.metric}".replace(" ", "_")
            writer.add_scalar(tag, score.value, score.lead_days or 0)
        return len(whole)

    def _writer(self, name: str) -> SummaryWriter:
        if name not in self._writers:
            self._writers[name] = SummaryWriter(str(self._logdir / name))
        return self._writers[name]


def latest(records: Iterable[Record]) -> list[Record]:
    """Drop records that a continued run wrote again: the last of each place counts."""
    last: dict[tuple[Any, ...], Record] = {}
    for record in records:
        place = record.get("position", record.get("epoch"))
        if record["event"] != "start":
            last[record["stage"], record["event"], place] = record
    return list(last.values())


def hyper_parameters(run: Run, trial: Trial) -> dict[str, str | float]:
    """Return what a trial was trained with, one flat entry for each setting."""
    settings = {
        f"with_{name}": value if isinstance(value, int | float) else str(value)
        for name, value in to_tree(task_config(run, trial)).items()
    }
    return {
        "model": trial.model, "task": trial.task, "setting": trial.setting, "seed": trial.seed,
        **settings,
    }  # fmt: skip


def _numbers(record: Record) -> Iterator[tuple[str, float]]:
    for name, value in record.items():
        if isinstance(value, int | float) and name not in _COORDINATES:
            yield name, float(value)


def _name_of(score: Score) -> str:
    seed = None if score.seed is None else f"seed{score.seed}"
    return "-".join(filter(None, [score.model, score.setting, seed])).replace(" ", "_")
