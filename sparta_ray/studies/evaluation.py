"""The evaluations of a study: the parts of all its runs, as many at a time as the cluster holds."""

from collections.abc import Sequence

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.evaluation.results import is_evaluated
from sparta_ray.on_ray.evaluate import evaluate_all
from sparta_ray.on_ray.tune_trials import Failure
from sparta_ray.run.settings import Run
from sparta_ray.tasks.evaluate import Evaluation


def evaluate_runs(runs: Sequence[Run]) -> dict[str, Failure]:
    """Evaluate the runs that are not evaluated, and return the failures by name.

    Args:
        runs: With all their models, those of the downstream tasks included.
    """
    failures: dict[str, Failure] = {}
    evaluations = []
    for run in runs:
        if is_evaluated(RunFolder(run.path), run.evaluation):
            continue
        try:
            evaluations.append(Evaluation(run))
        except ConfigError as error:
            failures[run.name] = Failure(str(error), str(error))
    if not evaluations:
        return failures
    for name, parts in evaluate_all(evaluations, named=True).items():
        if parts:
            reasons = [f"evaluate {part}: {failure.reason}" for part, failure in parts.items()]
            traces = [f"evaluate {part}\n{failure.trace}" for part, failure in parts.items()]
            failures[name] = Failure("; ".join(reasons), "\n".join(traces))
    return failures
