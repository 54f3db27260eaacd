"""The downstream trials under Ray Tune: models x tasks x seeds as a grid."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import ray
import torch
from ray import tune

from sparta_ray.cluster import Show, own_interrupt, watched
from sparta_ray.config import from_tree, to_tree
from sparta_ray.downstream.trial import Trial, is_finished, save_trial, train_trial, trials
from sparta_ray.run import Run
from sparta_ray.run_folder import RunFolder


def train_downstream(run: Run) -> None:
    """Train every trial of a run that is not finished.

    Raises:
        RuntimeError: Some trial failed; the others are kept, and all failures are named.
    """
    folder = RunFolder(run.path)
    pending = [trial for trial in trials(run) if not is_finished(folder, trial)]
    if not pending:
        return
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
                storage_path=folder.child("downstream"),
                verbose=0,
            ),
        ).fit()
    failures = [f"{name}: {error}" for name, error in _failures(results)]
    if failures:
        raise RuntimeError("downstream trials failed:\n" + "\n".join(failures))
    if not all(is_finished(folder, trial) for trial in pending):
        raise KeyboardInterrupt


def _train(config: dict[str, Any], run: dict[str, Any], show: Show) -> None:
    """Train one trial; a function trainable of Tune."""
    loaded, trial = from_tree(Run, run, "run"), Trial(**config["trial"])
    device = torch.device("cuda" if loaded.downstream.gpus_per_trial else "cpu")
    torch.set_num_threads(max(1, int(loaded.downstream.cpus_per_trial)))
    folder = RunFolder(loaded.path)
    history: list[dict[str, Any]] = []
    epochs, shown = _epochs(loaded, trial), 0.0

    def on_epoch(epoch: int, values: Mapping[str, float]) -> None:
        nonlocal shown
        history.append({"epoch": epoch, **values})
        tune.report(dict(history[-1]))
        if time.monotonic() - shown > 3 or epoch + 1 == epochs:
            shown = time.monotonic()
            losses = " ".join(f"{name} {value:.4g}" for name, value in values.items())
            show(f"downstream {trial.name}", epoch + 1, epochs, f"epochs {losses}")

    model = train_trial(loaded, trial, on_epoch, device)
    folder.append_records(f"{trial.folder}-history.jsonl", history)
    save_trial(folder, trial, model)


def _epochs(run: Run, trial: Trial) -> int:
    downstream = run.downstream
    config = {
        "forecast": downstream.forecast.get(trial.setting),
        "diffusion": downstream.diffusion,
        "classification": downstream.classification,
    }[trial.task]
    assert config is not None
    return config.epochs


def _concurrency(run: Run) -> int:
    """Return how many trials the cluster holds, or the configured limit if that is less."""
    available = ray.cluster_resources()
    fits = int(available.get("CPU", 1) // run.downstream.cpus_per_trial)
    if run.downstream.gpus_per_trial:
        fits = min(fits, int(available.get("GPU", 0) // run.downstream.gpus_per_trial))
    return max(1, min(fits, run.downstream.max_concurrent or fits))


def _trial_name(trial: "tune.experiment.Trial") -> str:
    return Trial(**trial.config["trial"]).name


def _failures(results: "tune.ResultGrid") -> list[tuple[str, str]]:
    return [
        (Trial(**result.config["trial"]).name, str(result.error).strip().splitlines()[-1])
        for result in results
        if result.error is not None and result.config is not None
    ]
