"""Training on Ray Train: every stage of a run in one `fit()`, from its last checkpoint on."""

from dataclasses import dataclass
from typing import Any

import ray
import ray.train.torch
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig

from sparta_ray.cluster import own_interrupt, quieten, watched
from sparta_ray.config import ConfigError, from_tree, to_tree
from sparta_ray.ranks import gather_objects
from sparta_ray.run import Run
from sparta_ray.run_folder import RunFolder
from sparta_ray.training.checkpoint import has_model
from sparta_ray.training.rank import Worker
from sparta_ray.training.stopping import stop_on_terminate
from sparta_ray.turns import turn_to_train


def train(run: Run) -> None:
    """Train every stage that is not finished and leave the models in the run folder.

    Interrupted at any moment, the same call continues from the last checkpoint. SIGTERM makes one
    first.

    Raises:
        ConfigError: A step gave no finite loss or gradient, or a worker cannot begin.
        KeyboardInterrupt: It was told to stop.
    """
    folder = RunFolder(run.path)
    if all(has_model(folder.child("models", kind)) for kind in run.models):
        return
    scaling = run.scaling
    gpu = {"GPU": 1} if scaling.use_gpu else {}
    with (
        turn_to_train(run) as begun,
        watched(begun) as show,
        own_interrupt(),
        stop_on_terminate() as stop,
    ):
        trainer = ray.train.torch.TorchTrainer(
            _train_worker,
            train_loop_config={"run": to_tree(run), "show": show, "stop": stop},
            scaling_config=ScalingConfig(
                num_workers=scaling.num_workers,
                use_gpu=scaling.use_gpu,
                resources_per_worker={"CPU": scaling.cpus_per_worker, **gpu},
            ),
            run_config=RunConfig(
                name="checkpoints",
                **folder.for_ray(),
                failure_config=FailureConfig(max_failures=scaling.max_failures),
                checkpoint_config=CheckpointConfig(num_to_keep=run.training.keep_checkpoints),
                logging_config=ray.LoggingConfig(log_level="WARNING"),
            ),
        )
        _fit(trainer)


def _fit(trainer: "ray.train.torch.TorchTrainer") -> None:
    """Run the trainer; what only a user can mend is one error, and the run ends there."""
    try:
        end: _End = trainer.fit().return_value
    except SystemExit as stopped:  # how Train answers an interrupt
        raise KeyboardInterrupt from stopped
    if end.error is not None:
        raise ConfigError(end.error)
    if end.stopped:
        raise KeyboardInterrupt


@dataclass(frozen=True)
class _End:
    """How training ended where a worker did not fail: done, stopped, or with what error.

    Train retries whatever a worker raises, but an error that every retry would repeat is returned.
    """

    stopped: bool = False
    error: str | None = None


def _train_worker(config: dict[str, Any]) -> _End:
    """Run all stages that are left, on every rank; all ranks end alike."""
    quieten()
    problem = None
    try:
        worker = Worker(from_tree(Run, config["run"], "run"), config["show"], config["stop"])
        saved = worker.load()
    except ConfigError as error:
        problem = str(error)
    problems = list(filter(None, gather_objects(problem)))
    if problems:
        return _End(error=problems[0])
    try:
        for index in range(0 if saved is None else saved.stage, len(worker.run.training.stages)):
            if not worker.run_stage(index, saved if saved and saved.stage == index else None):
                return _End(stopped=True)
    except FloatingPointError as error:
        return _End(error=str(error))
    return _End()
