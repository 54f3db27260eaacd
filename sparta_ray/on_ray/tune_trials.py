"""Trials under Ray Tune: all of them to their end, as many at a time as fit, failures by name."""

import os
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune.progress_reporter import TrialProgressCallback

from sparta_ray.base.errors import last_line
from sparta_ray.on_ray.memory_kill import TRIALS, cause_of

Parameters = Mapping[str, Any]
Body = Callable[..., None]
"""Does one trial, given its parameters and what all trials share; may call `tune.report`."""


@dataclass(frozen=True)
class Failure:
    """Why a trial failed.

    Attributes:
        reason: In a line.
        trace: Where, for whoever looks for it.
    """

    reason: str
    trace: str


def run_trials(
    body: Body,
    trials: Mapping[str, Parameters],
    shared: Mapping[str, Any],
    *,
    resources: Callable[[str], Mapping[str, float]],
    at_most: int,
    storage: Mapping[str, Any],
    label: str,
    max_failures: int,
    scheduler: "tune.schedulers.TrialScheduler | None" = None,
    callbacks: Iterable["tune.Callback"] = (),
) -> dict[str, Failure]:
    """Run every trial and return those that failed, by name.

    A trial whose machine is lost is begun again. One that raises is not: the error would only come
    again. Neither ends the others.

    Args:
        body: What a trial does.
        trials: Parameters by the name that event files and folders are called by.
        shared: Further arguments of the body, the same for all.
        resources: What a trial reserves, by its name.
        at_most: Trials at a time.
        storage: Where Tune's records go, TensorBoard's event files among them, as of
            `RunFolder.for_ray`.
        label: Of this set of trials, in that folder's name.
        max_failures: Times that a trial is begun again.
        scheduler: May stop trials early.
        callbacks: Of Tune.
    """
    # A trial that fails, or is told to stop before its first epoch, has no score to report.
    os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "1"
    configs = [{"name": name, **parameters} for name, parameters in trials.items()]
    results = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(_guarded, body=body, shared=dict(shared)),
            lambda config: tune.PlacementGroupFactory([dict(resources(config["trial"]["name"]))]),
        ),
        param_space={"trial": tune.grid_search(configs)},
        tune_config=tune.TuneConfig(
            max_concurrent_trials=at_most,
            scheduler=scheduler,
            reuse_actors=True,  # a process that has imported torch is kept for the next trial
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name=f"tune-{label}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}",
            **storage,
            failure_config=tune.FailureConfig(max_failures=max_failures),
            callbacks=[_Silent(), *callbacks],
            verbose=0,
        ),
    ).fit()
    return {result.config["trial"]["name"]: failure for result, failure in _failures(results)}


class _Silent(TrialProgressCallback):  # type: ignore[misc]  # Ray is not typed here
    """In place of Tune's own, which at any verbosity prints a line of a trial without a result."""

    def on_trial_complete(self, *_: object, **__: object) -> None:
        """Print nothing: progress lines say how far a trial is."""


def _guarded(config: dict[str, Any], body: Body, shared: dict[str, Any]) -> None:
    """Do one trial; a function trainable of Tune. Its own error is reported, not raised."""
    try:
        body(config["trial"], **shared)
    except Exception as error:
        reason = f"{type(error).__name__}: {last_line(str(error))}"
        tune.report({"error": reason, "trace": traceback.format_exc()})


def _trial_name(trial: "tune.experiment.Trial") -> str:
    return str(trial.config["trial"]["name"])


def _failures(results: "tune.ResultGrid") -> Iterable[tuple["tune.Result", Failure]]:
    """Return each trial that raised, or whose machine was lost too often, and why."""
    for result in results:
        metrics = result.metrics or {}
        if result.error is not None:
            yield result, Failure(cause_of(str(result.error), TRIALS), str(result.error))
        elif "error" in metrics:
            yield result, Failure(metrics["error"], metrics["trace"])
