"""The evaluations of a study under Ray Tune, as many at a time as the cluster holds."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from ray import tune

from sparta_ray.base.config import from_tree, to_tree
from sparta_ray.base.folder import RunFolder
from sparta_ray.evaluation.evaluate import evaluate
from sparta_ray.evaluation.results import is_evaluated
from sparta_ray.on_ray.cluster_size import nodes_at_most, nodes_now
from sparta_ray.on_ray.progress_lines import Show, print_progress
from sparta_ray.on_ray.resources import fitting_trials
from sparta_ray.on_ray.session import own_interrupt
from sparta_ray.on_ray.tune_trials import Failure, run_trials
from sparta_ray.run.settings import Run


def evaluate_runs(runs: Sequence[Run], storage: Mapping[str, Any]) -> dict[str, Failure]:
    """Evaluate the runs that are not evaluated, and return the failures by name.

    Args:
        runs: With all their models, those of the downstream tasks included.
        storage: Where Tune's records go, as of `RunFolder.for_ray`.
    """
    pending = [run for run in runs if not is_evaluated(RunFolder(run.path), run.evaluation)]
    if not pending:
        return {}
    asks = {
        run.name: {"CPU": run.downstream.cpus_per_trial, "GPU": run.downstream.gpus_per_trial}
        for run in pending
    }
    nodes = nodes_at_most() or nodes_now()
    with print_progress() as show, own_interrupt():
        return run_trials(
            _evaluate,
            {run.name: {"run": run.name} for run in pending},
            {"runs": {run.name: to_tree(run) for run in pending}, "show": show},
            resources=lambda name: asks[name],
            at_most=max(1, min(fitting_trials(run, nodes) for run in pending)),
            storage=storage,
            label="evaluate",
            max_failures=max(run.scaling.max_failures for run in pending),
        )


def _evaluate(
    parameters: Mapping[str, Any], runs: Mapping[str, dict[str, Any]], show: Show
) -> None:
    run = from_tree(Run, runs[parameters["run"]], "run")
    torch.set_num_threads(max(1, int(run.downstream.cpus_per_trial)))
    evaluate(run, show.within(run.name))
    tune.report({"evaluated": True})
