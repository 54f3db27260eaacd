"""Evaluations under Ray: every part that is not saved yet is one task, as many at a time as fit.

Parts are scored by a few processes that each do one after the other, so that what takes long to
begin with (importing torch, opening the store, encoding the test days) is done once in each.
"""

import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
import torch

from sparta_ray.base.config import from_tree, to_tree
from sparta_ray.base.errors import FailedError, last_line
from sparta_ray.base.folder import RunFolder
from sparta_ray.base.progress import ShowProgress
from sparta_ray.evaluation.part import Part
from sparta_ray.evaluation.results import Inputs, keep_error
from sparta_ray.evaluation.setup import Setup
from sparta_ray.on_ray.cluster_size import nodes_at_most, nodes_now
from sparta_ray.on_ray.memory_kill import TRIALS, cause_of
from sparta_ray.on_ray.queueing import wait_for_room
from sparta_ray.on_ray.resources import Node, fitting_trials, trial_request
from sparta_ray.on_ray.session import own_interrupt
from sparta_ray.on_ray.tune_trials import Failure
from sparta_ray.run.settings import Run
from sparta_ray.tasks.evaluate import Evaluation, EvaluationProgress, score_part, show_here
from sparta_ray.tasks.parts import parts_of


def evaluate_on_ray(run: Run) -> None:
    """Score the parts of a run's evaluation that are not saved, and put all of them together.

    Raises:
        ConfigError: A downstream trial is not finished.
        FailedError: Some parts failed; the others are kept, and all failures are named.
    """
    evaluation = Evaluation(run)
    if evaluation.is_done():
        return
    failures = evaluate_all([evaluation])[run.name]
    if failures:
        lines = [f"  {part}: {failure.reason}" for part, failure in failures.items()]
        raise FailedError(
            "parts of the evaluation failed; the same command tries them again:\n"
            + "\n".join(lines)
        )


def evaluate_all(
    evaluations: Sequence[Evaluation], *, named: bool = False
) -> dict[str, dict[str, Failure]]:
    """Score what is left of several runs' evaluations, and put together those that are whole.

    Args:
        evaluations: Of the runs.
        named: Whether progress lines name the run.

    Returns:
        The parts that failed, by the name of the run and of the part.

    Raises:
        KeyboardInterrupt: It was told to stop; finished parts are kept.
    """
    tasks = [task for evaluation in evaluations for task in _tasks(evaluation)]
    progress = {
        evaluation.run.name: EvaluationProgress(
            evaluation,
            sum(task.run == evaluation.run for task in tasks),
            _within(evaluation.run.name) if named else show_here,
        )
        for evaluation in evaluations
    }
    failures: dict[str, dict[str, Failure]] = {e.run.name: {} for e in evaluations}
    with own_interrupt():
        for task, failure in _score(tasks, progress):
            if failure is not None:
                failures[task.run.name][task.part.name] = failure
                keep_error(RunFolder(task.run.path), task.part.name, failure.trace)
    for evaluation in evaluations:
        if not failures[evaluation.run.name]:
            evaluation.finish()
            progress[evaluation.run.name].finish()
    return failures


def _within(name: str) -> ShowProgress:
    return lambda label, done, total, text: show_here(f"{name} {label}", done, total, text)


@dataclass(frozen=True)
class _Task:
    """A part to be scored.

    Attributes:
        run: Whose.
        part: Which.
        inputs: What its results follow from.
    """

    run: Run
    part: Part
    inputs: Inputs


def _tasks(evaluation: Evaluation) -> Iterator[_Task]:
    for part in evaluation.pending():
        yield _Task(evaluation.run, part, evaluation.inputs[part.name])


def _score(
    tasks: list[_Task], progress: Mapping[str, EvaluationProgress]
) -> Iterator[tuple[_Task, Failure | None]]:
    """Score all tasks; yield each once it has ended, with why it failed if it did."""
    if not tasks:
        return
    names = {task.run.name: task.run for task in tasks}
    runs = [_with_resources_at_hand(run) for run in names.values()]
    for run in runs:
        wait_for_room(trial_request(run))
    pool = _Pool(max(runs, key=_size), min(len(tasks), *map(_at_a_time, runs)))
    try:
        yield from pool.score(list(tasks), progress)
    finally:
        pool.close()


def _with_resources_at_hand(run: Run) -> Run:
    """Return the run with the resources of a task: those of a downstream trial, where there are.

    A run that was trained on a larger cluster can be evaluated on a small one. Where the trials are
    trained without a GPU although there are some, an evaluation takes one.
    """
    nodes, downstream = nodes_at_most() or nodes_now(), run.downstream
    gpus_now = max((node.gpus for node in nodes_now()), default=0)
    gpus = downstream.gpus_per_trial or min(1, gpus_now)
    best = max(nodes, key=lambda node: (min(node.gpus, gpus), node.cpus), default=Node(1))
    cpus = min(downstream.cpus_per_trial, max(best.cpus, 1))
    own = replace(downstream, cpus_per_trial=cpus, gpus_per_trial=min(gpus, best.gpus))
    return replace(run, downstream=own)


def _size(run: Run) -> tuple[float, float]:
    return run.downstream.gpus_per_trial, run.downstream.cpus_per_trial


def _at_a_time(run: Run) -> int:
    """Return how many tasks the cluster holds, or the configured limit if that is less."""
    fits = fitting_trials(run, nodes_at_most() or nodes_now())
    return max(1, min(fits, run.downstream.max_concurrent or fits))


class _Scorer:
    """A process that scores parts, one after the other; what it has opened of a run it keeps."""

    def __init__(self, cpus: float, gpus: float):
        """Use the resources that the process was given."""
        torch.set_num_threads(max(1, int(cpus)))
        self._device = torch.device("cuda" if gpus else "cpu")
        self._tree: dict[str, Any] | None = None
        self._setup: Setup | None = None

    def ready(self) -> None:
        """Return once the process is there."""

    def score(self, tree: dict[str, Any], name: str, inputs: Inputs) -> Failure | None:
        """Score a part of a run and save its results; return why that failed, if it did."""
        try:
            setup = self._opened(tree)
            part = next(part for part in parts_of(setup.run) if part.name == name)
            score_part(setup, part, inputs)
        except Exception as error:
            reason = f"{type(error).__name__}: {last_line(str(error))}"
            return Failure(reason, traceback.format_exc())
        return None

    def _opened(self, tree: dict[str, Any]) -> Setup:
        if self._setup is None or self._tree != tree:
            self._tree, self._setup = tree, Setup(from_tree(Run, tree, "run"), self._device)
        return self._setup


@dataclass
class _Worker:
    """A scorer, as a handle of Ray, and the task that it does or did last."""

    scorer: Any
    task: _Task | None = None


class _Pool:
    """Scorers of one size that are given one task after the other."""

    def __init__(self, run: Run, count: int):
        """Ask for so many scorers, with the resources of a trial of this run."""
        self._downstream, self._again = run.downstream, run.scaling.max_failures
        self._workers = [self._new() for _ in range(count)]

    def _new(self) -> _Worker:
        """Return a scorer; one whose machine is lost is begun again elsewhere, its task with it."""
        cpus, gpus = self._downstream.cpus_per_trial, self._downstream.gpus_per_trial
        options = {"num_cpus": cpus, "num_gpus": gpus, "max_restarts": self._again}
        scorer: Any = ray.remote(_Scorer)
        options["max_task_retries"] = self._again
        return _Worker(scorer.options(**options).remote(cpus, gpus))

    def score(
        self, left: list[_Task], progress: Mapping[str, EvaluationProgress]
    ) -> Iterator[tuple[_Task, Failure | None]]:
        """Hand out tasks to whoever is free, and yield them as they end."""
        busy = {worker.scorer.ready.remote(): worker for worker in self._workers}
        while left or any(worker.task for worker in busy.values()):
            (ended,), _ = ray.wait(list(busy), num_returns=1)
            worker = busy.pop(ended)
            task, failure, is_lost = worker.task, *_outcome(ended)
            worker.task = None
            if task is not None:
                progress[task.run.name].end()
                yield task, failure
            elif failure is not None:
                raise FailedError(f"no process for the evaluation could start: {failure.reason}")
            if not left:
                continue
            if is_lost:
                self._workers.remove(worker)
                worker = self._new()
                self._workers.append(worker)
            worker.task = _next(left, task)
            busy[self._begin(worker.scorer, worker.task, progress)] = worker

    def _begin(
        self, scorer: Any, task: _Task, progress: Mapping[str, EvaluationProgress]
    ) -> "ray.ObjectRef[Failure | None]":
        progress[task.run.name].begin(task.part)
        begun: ray.ObjectRef[Failure | None]
        begun = scorer.score.remote(to_tree(task.run), task.part.name, task.inputs)
        return begun

    def close(self) -> None:
        """End all scorers, also those that never had a place."""
        for worker in self._workers:
            ray.kill(worker.scorer)


def _next(left: list[_Task], last: _Task | None) -> _Task:
    """Take the next task, of the models that the scorer has opened already if there is one."""

    def is_opened(task: _Task) -> bool:
        return last is not None and (task.run, task.part.models) == (last.run, last.part.models)

    return left.pop(next((i for i, task in enumerate(left) if is_opened(task)), 0))


def _outcome(ended: "ray.ObjectRef[Failure | None]") -> tuple[Failure | None, bool]:
    """Return why a task failed, if it did, and whether its process was lost."""
    try:
        failure: Failure | None = ray.get(ended)
    except ray.exceptions.RayError as error:
        return Failure(f"its process was lost: {cause_of(str(error), TRIALS)}", str(error)), True
    return failure, False
