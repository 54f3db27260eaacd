"""The links of a study, one after the other; a trial that fails leaves out those that follow."""

from collections.abc import Mapping, Sequence
from typing import Any

from sparta_ray.base.folder import RunFolder
from sparta_ray.on_ray.downstream import train_trials as train_downstream_trials
from sparta_ray.on_ray.tune_trials import Failure
from sparta_ray.run.ownership import is_trained
from sparta_ray.run.settings import Run
from sparta_ray.studies.config import StudyConfig
from sparta_ray.studies.evaluation import evaluate_runs
from sparta_ray.studies.folder import StudyFolder, was_stopped
from sparta_ray.studies.training import train_trials
from sparta_ray.studies.trial import StudyTrial
from sparta_ray.training.reporter import HISTORY


def do_links(
    study: StudyConfig, trials: Sequence[StudyTrial], folder: StudyFolder
) -> dict[str, str]:
    """Train, adopt, train downstream and evaluate; return why trials failed, by name.

    Args:
        study: Says how far to go.
        trials: Their folders are claimed and their stores prepared.
        folder: Keeps the traces of failures.
    """
    storage = folder.for_ray("tune")
    failures = _kept(folder, train_trials(trials, study.sweep, storage))
    _adopt(trials, failures)
    if study.until == "train":
        return failures
    failures |= _downstream(_sound(trials, failures), folder, storage)
    if study.until == "downstream":
        return failures
    runs = [trial.run for trial in _sound(trials, failures)]
    return failures | _kept(folder, evaluate_runs(runs))


def _kept(folder: StudyFolder, failures: Mapping[str, Failure]) -> dict[str, str]:
    """Keep the traces; return the reasons."""
    for name, failure in failures.items():
        folder.keep_error(name, failure.trace)
    return {name: failure.reason for name, failure in failures.items()}


def _adopt(trials: Sequence[StudyTrial], failures: dict[str, str]) -> None:
    """Give every trial that shares a training its models, or the reason why there are none."""
    runs = {trial.name: trial.run for trial in trials}
    for trial in trials:
        if trial.trained_by in failures and not trial.trains:
            failures[trial.name] = f"its models are those of {trial.trained_by}, which failed"
        elif not trial.trains:
            adopt_models(runs[trial.trained_by], trial.run)


def _sound(trials: Sequence[StudyTrial], failures: Mapping[str, str]) -> list[StudyTrial]:
    """Return the trials that go on."""
    return [
        trial
        for trial in trials
        if trial.name not in failures and not was_stopped(RunFolder(trial.run.path))
    ]


def _downstream(
    trials: Sequence[StudyTrial], folder: StudyFolder, storage: Mapping[str, Any]
) -> dict[str, str]:
    """Train the downstream tasks of all trials together, the better to fill the cluster."""
    failed = train_downstream_trials([trial.run for trial in trials], storage)
    reasons: dict[str, list[str]] = {}
    traces: dict[str, list[str]] = {}
    for (name, trial), failure in failed.items():
        reasons.setdefault(name, []).append(f"downstream {trial.name}: {failure.reason}")
        traces.setdefault(name, []).append(f"downstream {trial.name}\n{failure.trace}")
    joined = {name: Failure("; ".join(reasons[name]), "\n".join(traces[name])) for name in reasons}
    return _kept(folder, joined)


def adopt_models(source: Run, target: Run) -> None:
    """Copy the models of one run, and the records of their training, into another's folder.

    Each run folder then stands on its own. What counts as finished, a model's card, comes last.
    """
    ours, theirs = RunFolder(target.path), RunFolder(source.path)
    if is_trained(target) or not is_trained(source):
        return
    ours.write(HISTORY, theirs.read(HISTORY))
    for kind in source.models:
        for file in ("weights.safetensors", "model.json"):
            name = f"models/{kind}/{file}"
            ours.write(name, theirs.read_bytes(name))
