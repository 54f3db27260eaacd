"""The downstream trials under Ray Tune: models x tasks x seeds as a grid."""

import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from ray import tune

from sparta_ray.capacity import nodes_at_most, nodes_now
from sparta_ray.cluster import Show, own_interrupt, watched
from sparta_ray.config import from_tree, to_tree
from sparta_ray.downstream.trial import (
    Trial,
    is_finished,
    save_trial,
    task_config,
    train_trial,
    trials,
)
from sparta_ray.metrics_export import MetricsExport
from sparta_ray.placement import fitting_trials, trial_ask
from sparta_ray.run import Run
from sparta_ray.run_folder import RunFolder
from sparta_ray.turns import wait_for_room


def train_downstream(run: Run) -> None:
    """Train every trial of a run that is not finished.

    Raises:
        RuntimeError: Some trial failed; the others are kept, and all failures are named.
    """
    folder = RunFolder(run.path)
    pending = [trial for trial in trials(run) if not is_finished(folder, trial)]
    if not pending:
        return
    wait_for_room(trial_ask(run))
    resources = {"cpu": run.downstream.cpus_per_trial, "gpu": run.downstream.gpus_per_trial}
    with watched() as show, own_interrupt():
        trainable = tune.with_parameters(_train, run=to_tree(run), show=show)
        results = tune.Tuner(
            tune.with_resources(trainable, resources),
            param_space={"trial": tune.grid_search([asdict(trial) for trial in pending])},
            tune_config=tune.TuneConfig(
                max_concurrent_trials=_concurrency(run),
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=tune.RunConfig(
                name=f"tune-{time.strftime('%Y%m%d-%H%M%S')}",
                **folder.for_ray("downstream"),
                failure_config=tune.FailureConfig(max_failures=run.scaling.max_failures),
                verbose=0,
            ),
        ).fit()
    failures = [f"{name}: {error}" for name, error in _failures(results)]
    if failures:
        raise RuntimeError("downstream trials failed:\n" + "\n".join(failures))
    if not all(is_finished(folder, trial) for trial in pending):
        raise KeyboardInterrupt


def _train(config: dict[str, Any], run: dict[str, Any], show: Show) -> None:
    """Train one trial; a function trainable of Tune.

    Tune begins a trial again whose machine was lost, and any that raises. An error of the trial's
    own would only come again: it is kept in the run folder and reported, not raised.
    """
    loaded, trial = from_tree(Run, run, "run"), Trial(**config["trial"])
    try:
        _train_and_save(loaded, trial, show)
    except Exception as error:
        trace = traceback.format_exc()
        RunFolder(loaded.path).write(f"{trial.folder}-error.txt", trace)
        tune.report({"error": f"{type(error).__name__}: {error}"})


def _train_and_save(loaded: Run, trial: Trial, show: Show) -> None:
    device = torch.device("cuda" if loaded.downstream.gpus_per_trial else "cpu")
    torch.set_num_threads(max(1, int(loaded.downstream.cpus_per_trial)))
    folder, export = RunFolder(loaded.path), MetricsExport(loaded.name)
    name = f"{trial.folder}-history.jsonl"
    pending: list[dict[str, Any]] = []
    epochs, shown = task_config(loaded, trial).epochs, 0.0
    folder.write(name, "")

    def on_epoch(epoch: int, values: Mapping[str, float]) -> None:
        nonlocal shown
        pending.append({"epoch": epoch, **values})
        tune.report(dict(pending[-1]))
        if time.monotonic() - shown > 3 or epoch + 1 == epochs:
            shown = time.monotonic()
            losses = " ".join(f"{name} {value:.4g}" for name, value in values.items())
            show(f"downstream {trial.name}", epoch + 1, epochs, f"epochs {losses}")
            export(f"downstream {trial.name}", {"position": epoch + 1, **values})
            if folder.is_local or epoch + 1 == epochs:  # a remote file is written as a whole
                folder.append_records(name, pending)
                pending.clear()

    model = train_trial(loaded, trial, on_epoch, device)
    save_trial(folder, trial, model)


def _concurrency(run: Run) -> int:
    """Return how many trials the cluster holds, or the configured limit if that is less."""
    fits = fitting_trials(run, nodes_at_most() or nodes_now())
    return max(1, min(fits, run.downstream.max_concurrent or fits))


def _trial_name(trial: "tune.experiment.Trial") -> str:
    return Trial(**trial.config["trial"]).name


def _failures(results: "tune.ResultGrid") -> list[tuple[str, str]]:
    """Return the name of each trial that failed, or whose machine was lost too often, and why."""
    failed = [
        (result.config, _last_line(result.error) if result.error else result.metrics["error"])
        for result in results
        if result.error is not None or "error" in (result.metrics or {})
    ]
    return [(Trial(**config["trial"]).name, reason) for config, reason in failed]


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
