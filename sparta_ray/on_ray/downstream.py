"""The downstream trials under Ray Tune: models x tasks x seeds as a grid, of one run or several."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from ray import tune

from sparta_ray.base.config import from_tree, to_tree
from sparta_ray.base.errors import FailedError
from sparta_ray.base.folder import RunFolder
from sparta_ray.on_ray.cluster_size import nodes_at_most, nodes_now
from sparta_ray.on_ray.gauges import MetricsExport
from sparta_ray.on_ray.progress_lines import Show, print_progress
from sparta_ray.on_ray.queueing import wait_for_room
from sparta_ray.on_ray.resources import fitting_trials, trial_request
from sparta_ray.on_ray.session import own_interrupt
from sparta_ray.on_ray.tune_trials import Failure, run_trials
from sparta_ray.run.settings import Run
from sparta_ray.run.trial import Trial, is_finished, save_trial
from sparta_ray.tasks.trials import task_config, train_trial, trials, write_summary


def train_downstream(run: Run) -> None:
    """Train every trial of a run that is not finished, and print how all of them ended.

    Raises:
        FailedError: Some trial failed; the others are kept, and all failures are named.
    """
    folder = RunFolder(run.path)
    if all(is_finished(folder, trial) for trial in trials(run)):
        return
    failures = train_trials([run], folder.for_ray("downstream"))
    print(write_summary(run, folder), flush=True)
    if failures:
        lines = [f"  {trial.name}: {failure.reason}" for (_, trial), failure in failures.items()]
        raise FailedError("downstream trials failed:\n" + "\n".join(lines))


def train_trials(
    runs: Sequence[Run], storage: Mapping[str, Any]
) -> dict[tuple[str, Trial], Failure]:
    """Train the trials of several runs that are not finished, and return those that failed.

    Args:
        runs: Their models must be there.
        storage: Where Tune's records go, as of `RunFolder.for_ray`.

    Raises:
        KeyboardInterrupt: It was told to stop.
    """
    pending = {
        _name(runs, run, trial): (run, trial)
        for run in runs
        for trial in trials(run)
        if not is_finished(RunFolder(run.path), trial)
    }
    if not pending:
        return {}
    for run in runs:
        wait_for_room(trial_request(run))
    with print_progress() as show, own_interrupt():
        failures = run_trials(
            _train,
            {name: {"run": run.name, **asdict(trial)} for name, (run, trial) in pending.items()},
            {"runs": {run.name: to_tree(run) for run in runs}, "show": show},
            resources=lambda name: _ask(pending[name][0]),
            at_most=min(_concurrency(run) for run, _ in pending.values()),
            storage=storage,
            label="downstream",
            max_failures=max(run.scaling.max_failures for run in runs),
        )
    for name, failure in failures.items():
        run, trial = pending[name]
        RunFolder(run.path).write(f"{trial.folder}-error.txt", failure.trace)
    begun_well = [pair for name, pair in pending.items() if name not in failures]
    if not all(is_finished(RunFolder(run.path), trial) for run, trial in begun_well):
        raise KeyboardInterrupt
    return {(pending[name][0].name, pending[name][1]): why for name, why in failures.items()}


def _name(runs: Sequence[Run], run: Run, trial: Trial) -> str:
    """Return a trial's name, with that of its run where there are several."""
    return trial.name if len(runs) == 1 else f"{run.name}-{trial.name}"


def _ask(run: Run) -> Mapping[str, float]:
    return {"CPU": run.downstream.cpus_per_trial, "GPU": run.downstream.gpus_per_trial}


def _concurrency(run: Run) -> int:
    """Return how many trials the cluster holds, or the configured limit if that is less."""
    fits = fitting_trials(run, nodes_at_most() or nodes_now())
    return max(1, min(fits, run.downstream.max_concurrent or fits))


def _train(parameters: Mapping[str, Any], runs: Mapping[str, dict[str, Any]], show: Show) -> None:
    """Train one trial and leave its model in its run folder."""
    trial = Trial(**{name: parameters[name] for name in Trial.__dataclass_fields__})
    run = from_tree(Run, runs[parameters["run"]], "run")
    device = torch.device("cuda" if run.downstream.gpus_per_trial else "cpu")
    torch.set_num_threads(max(1, int(run.downstream.cpus_per_trial)))
    folder, history = RunFolder(run.path), _History(run, trial, parameters["name"], show)
    save_trial(folder, trial, train_trial(run, trial, history.add, device))
    folder.remove_if_there(f"{trial.folder}-error.txt")


class _History:
    """Records a trial's epochs, and shows how far it has come."""

    def __init__(self, run: Run, trial: Trial, label: str, show: Show):
        self._folder, self._file = RunFolder(run.path), f"{trial.folder}-history.jsonl"
        self._label, self._show, self._export = f"downstream {label}", show, MetricsExport(run.name)
        self._epochs, self._shown = task_config(run, trial).epochs, 0.0
        self._pending: list[dict[str, Any]] = []
        self._folder.write(self._file, "")

    def add(self, epoch: int, values: Mapping[str, float]) -> None:
        """Take an epoch's losses; a remote file is written as a whole, so more rarely."""
        self._pending.append({"epoch": epoch, **values})
        tune.report(dict(self._pending[-1]))
        last = epoch + 1 == self._epochs
        if time.monotonic() - self._shown <= 3 and not last:
            return
        self._shown = time.monotonic()
        losses = " ".join(f"{name} {value:.4g}" for name, value in values.items())
        self._show(self._label, epoch + 1, self._epochs, f"epochs {losses}")
        self._export(self._label, {"position": epoch + 1, **values})
        if self._folder.is_local or last:
            self._folder.append_records(self._file, self._pending)
            self._pending.clear()
