"""The trainings of a study under Ray Tune: each a driver of Ray Train in the same cluster."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import ray
from ray import tune
from ray.tune.integration.ray_train import TuneReportCallback
from ray.tune.schedulers import ASHAScheduler

from sparta_ray.base.config import from_tree, to_tree
from sparta_ray.base.folder import RunFolder
from sparta_ray.on_ray.cluster_size import nodes_at_most, nodes_now
from sparta_ray.on_ray.progress_lines import Show, print_progress
from sparta_ray.on_ray.queueing import turn_to_train
from sparta_ray.on_ray.resources import fitting_trainings
from sparta_ray.on_ray.session import adds_nodes, check_storage, own_interrupt
from sparta_ray.on_ray.stopping import StopRequest, stop_on_terminate
from sparta_ray.on_ray.train import train_watched
from sparta_ray.on_ray.tune_trials import Failure, run_trials
from sparta_ray.run.ownership import is_trained
from sparta_ray.run.settings import Run
from sparta_ray.studies.folder import epochs_of, stop_early, was_stopped
from sparta_ray.studies.sweep import SweepConfig
from sparta_ray.studies.trial import StudyTrial


def train_trials(
    trials: Sequence[StudyTrial], sweep: SweepConfig | None, storage: Mapping[str, Any]
) -> dict[str, Failure]:
    """Train the models of every trial that trains its own, and return the failures by name.

    A trial that was killed on the way continues from its last checkpoint.

    Args:
        trials: Their folders are claimed.
        sweep: What to judge and stop them by; None trains each to its end.
        storage: Where Tune's records go, as of `RunFolder.for_ray`.

    Raises:
        KeyboardInterrupt: It was told to stop.
    """
    own = [trial for trial in trials if trial.trains]
    if all(_is_over(trial.run) for trial in own):
        return {}
    if sweep is None:
        own = [trial for trial in own if not is_trained(trial.run)]
    own.sort(key=lambda trial: not _is_over(trial.run))  # what is over sets the others' measure
    with print_progress() as show, own_interrupt(), stop_on_terminate() as stop:
        failures = run_trials(
            _train,
            {trial.name: trial.record() for trial in own},
            {
                "runs": {trial.name: to_tree(trial.run) for trial in own},
                "show": show,
                "stop": stop,
                "judged": None if sweep is None else sweep.stage,
                "grows": adds_nodes(),
            },
            resources=lambda _: {"memory": 1},  # no CPU: Train's workers and builders take theirs
            at_most=min(_concurrency(trial.run) for trial in own),
            storage=storage,
            label="train",
            max_failures=max(trial.run.scaling.max_failures for trial in own),
            scheduler=None if sweep is None else _scheduler(sweep, own),
            callbacks=() if sweep is None else (_StopRecorder({t.name: t.run for t in own}, stop),),
        )
    if not all(_is_over(trial.run) for trial in own if trial.name not in failures):
        raise KeyboardInterrupt
    return failures


def _is_over(run: Run) -> bool:
    return is_trained(run) or was_stopped(RunFolder(run.path))


def _concurrency(run: Run) -> int:
    return max(1, fitting_trainings(run, nodes_at_most() or nodes_now()))


def _scheduler(sweep: SweepConfig, own: Sequence[StudyTrial]) -> "ASHAScheduler | None":
    if sweep.asha is None:
        return None
    epochs = [s.epochs for t in own for s in t.run.training.stages if s.kind == sweep.stage]
    return ASHAScheduler(
        metric=f"{sweep.stage}/{sweep.metric}",
        mode=sweep.mode,
        time_attr="epochs",
        max_t=max(epochs) + 1,  # the last epoch does not end a trial: other stages may follow
        grace_period=sweep.asha.grace_epochs,
        reduction_factor=sweep.asha.reduction_factor,
    )


def _train(
    parameters: Mapping[str, Any],
    runs: Mapping[str, dict[str, Any]],
    show: Show,
    stop: StopRequest,
    judged: str | None,
    grows: bool,
) -> None:
    """Train one trial; of a sweep, first tell again what it reached before it was killed."""
    run = from_tree(Run, runs[parameters["name"]], "run")
    folder = RunFolder(run.path)
    if judged is not None:
        for epoch in epochs_of(folder, judged):
            tune.report(epoch)
    if _is_over(run) or stop.is_set():
        return
    # Told to stop, it has made a checkpoint; the study's driver sees that the trial is not over.
    with turn_to_train(run) as begun, suppress(KeyboardInterrupt):
        if stop.is_set():  # while it waited for its turn
            return
        if grows:
            check_storage(run, prepared=True)
        reports = _EpochReports(run, judged)
        train_watched(run, show.within(run.name, begun), stop, callbacks=[reports])


class _EpochReports(TuneReportCallback):  # type: ignore[misc]  # Ray is not typed here
    """Passes on what an epoch gave, by the name of its stage; other reports say nothing new."""

    def __init__(self, run: Run, judged: str | None):
        super().__init__()
        self._stages = [stage.kind for stage in run.training.stages]
        self._judged = judged

    def after_report(
        self,
        run_context: Any,
        metrics: list[dict[str, Any]],
        checkpoint: "ray.train.Checkpoint | None",
    ) -> None:
        first = metrics[0]
        stage = self._stages[first["stage"]]
        if "epoch" not in first or (self._judged is not None and stage != self._judged):
            return
        measures = {k: v for k, v in first.items() if k not in ("stage", "position", "epoch")}
        told = {f"{stage}/{name}": value for name, value in measures.items()}
        super().after_report(run_context, [{"epochs": first["epoch"] + 1, **told}], None)


class _StopRecorder(tune.Callback):  # type: ignore[misc]  # Ray is not typed here
    """Records that the scheduler stopped a trial early, so that it is not taken up again.

    A trial that ended because the whole sweep was told to stop is taken up again.
    """

    def __init__(self, runs: Mapping[str, Run], stop: StopRequest):
        self._runs, self._stop = runs, stop

    def on_trial_complete(
        self, iteration: int, trials: Iterable[Any], trial: "tune.experiment.Trial", **info: Any
    ) -> None:
        if self._stop.is_set():
            return
        run, last = self._runs[trial.config["trial"]["name"]], trial.last_result
        if "error" not in last and not is_trained(run):
            stop_early(RunFolder(run.path), int(last.get("epochs", 0)))
