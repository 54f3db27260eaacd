"""Training on Ray Train: every stage of a run in one `fit()`, from its last checkpoint on."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
import ray.train.torch
from ray.exceptions import ActorDiedError
from ray.train import (
    FailureConfig,
    RunConfig,
    ScalingConfig,
    TrainingFailedError,
    WorkerGroupError,
)

from sparta_ray.base.config import from_tree, to_tree
from sparta_ray.base.distributed import gather_objects
from sparta_ray.base.errors import ConfigError, FailedError, WriteError, by_rank
from sparta_ray.base.folder import RunFolder
from sparta_ray.data.batches.compact import row_bytes
from sparta_ray.data.preparation.streaming import open_store
from sparta_ray.on_ray.cluster_size import nodes_now
from sparta_ray.on_ray.memory_kill import TRAINING, cause_of
from sparta_ray.on_ray.progress_lines import Show, print_progress
from sparta_ray.on_ray.queueing import turn_to_train
from sparta_ray.on_ray.resources import check_object_store, training_request
from sparta_ray.on_ray.session import adds_nodes, check_storage, own_interrupt, quieten
from sparta_ray.on_ray.stopping import StopRequest, stop_on_terminate
from sparta_ray.on_ray.train_worker import Worker, first_heartbeat
from sparta_ray.on_ray.watchdog import Heartbeat, Watchdog
from sparta_ray.run.ownership import NOTHING, Allowed, is_trained
from sparta_ray.run.settings import Run
from sparta_ray.training.checkpoint import SavedState
from sparta_ray.training.checkpoint_folder import CheckpointFolder
from sparta_ray.training.config import ScalingConfig as Scaling
from sparta_ray.training.precision import mixed_precision

_TRAIN_FOLDER = "ray-train"
"""What Ray Train calls its own files in the run folder; checkpoints are not among them."""


def train(run: Run, allowed: Allowed = NOTHING) -> None:
    """Train every stage that is not finished and leave the models in the run folder.

    If it is interrupted at any moment, the same call continues from the last checkpoint. On SIGTERM
    a checkpoint is made first.

    Raises:
        ConfigError: A step gave no finite loss or gradient, a worker cannot begin, no step was made
            for too long, or the last checkpoint is damaged.
        FailedError: Workers failed more often than ``scaling.max_failures``.
        KeyboardInterrupt: It was asked to stop.
    """
    if is_trained(run):
        models = RunFolder(run.path).child("models")
        print(f"train: finished before; its models are in {models}", flush=True)
        return
    with (
        turn_to_train(run) as begun,
        print_progress(begun) as show,
        own_interrupt(),
        stop_on_terminate() as stop,
    ):
        if adds_nodes():
            check_storage(run, prepared=True)
        train_watched(run, show, stop, allowed)


def train_watched(
    run: Run,
    show: Show,
    stop: StopRequest,
    allowed: Allowed = NOTHING,
    callbacks: Sequence["ray.train.UserCallback"] = (),
) -> None:
    """Train as `train` does, from any process of the cluster.

    Args:
        run: What is trained.
        show: Where progress is shown.
        stop: A request to stop training.
        allowed: How the run may differ from the one that its folder holds.
        callbacks: Of Ray Train.

    Raises:
        ConfigError: See `train`.
        KeyboardInterrupt: It was asked to stop.
    """
    folder, store = RunFolder(run.path), open_store(run.data.store, run.data.cache)
    CheckpointFolder(folder).settle(allowed.older_checkpoint)
    row = row_bytes(len(store.variables), store.grid, run.views, run.mask, run.batches)
    check_object_store(run, row, nodes_now())
    scaling, watchdog = run.scaling, Watchdog(run.training.stall_seconds, training_request(run))
    trainer = ray.train.torch.TorchTrainer(
        _train_worker,
        train_loop_config={
            "run": to_tree(run),
            "show": show,
            "stop": stop,
            "heartbeat_sender": watchdog.sender,
            "allowed": allowed,
        },
        scaling_config=ScalingConfig(
            num_workers=scaling.num_workers,
            use_gpu=scaling.use_gpu,
            resources_per_worker=_resources(scaling),
            elastic_resize_monitor_interval_s=scaling.resize_seconds,
        ),
        run_config=RunConfig(
            name=_TRAIN_FOLDER,
            **folder.for_ray(),
            failure_config=FailureConfig(max_failures=scaling.max_failures),
            logging_config=ray.LoggingConfig(log_level="WARNING"),
            worker_runtime_env={"env_vars": KEEPS_MEMORY},
            callbacks=list(callbacks),
        ),
    )
    _fit(trainer, watchdog, scaling.max_failures)


def _resources(scaling: Scaling) -> dict[str, float]:
    """Return what Train reserves for a worker.

    An elastic run starts as many workers as fit. Each therefore reserves CPUs for its builders too,
    or further workers would take the CPUs that the builders need.
    """
    cpus = scaling.cpus_with_builders if scaling.elastic else scaling.cpus_per_worker
    return {"CPU": cpus, "GPU": 1} if scaling.use_gpu else {"CPU": cpus}


def _fit(trainer: "ray.train.torch.TorchTrainer", watchdog: Watchdog, max_failures: int) -> None:
    """Run the trainer; an error that only the user can fix ends the run at once."""
    try:
        with watchdog.watching():
            end: _End = trainer.fit().return_value
    except ActorDiedError as killed:
        if watchdog.verdict is None:
            raise
        raise ConfigError(watchdog.verdict) from killed
    except TrainingFailedError as failed:
        raise FailedError(_describe_failure(failed, max_failures)) from failed
    except (SystemExit, KeyboardInterrupt) as stopped:  # how Train answers an interrupt
        raise KeyboardInterrupt from stopped
    if end.error is not None:
        raise ConfigError(end.error)
    if end.stopped:
        raise KeyboardInterrupt


def _describe_failure(failed: TrainingFailedError, max_failures: int) -> str:
    """Return what Train says, followed by each distinct cause on a line of its own."""
    causes = f"  {cause_of(str(failed), TRAINING)}"
    if isinstance(failed, WorkerGroupError):
        causes = by_rank(failed.worker_failures, partial(cause_of, remedy=TRAINING))
    return (
        f"{failed}\ntraining failed more than {max_failures} times (scaling.max_failures); once "
        "the cause is removed, the same command continues from the last checkpoint. The last "
        f"cause:\n{causes}"
    )


@dataclass(frozen=True)
class _End:
    """How training ended if no worker failed: finished, stopped, or with an error.

    Ray Train retries whatever a worker raises. An error that every retry would repeat is therefore
    returned instead.
    """

    stopped: bool = False
    error: str | None = None


def _train_worker(config: dict[str, Any]) -> _End:
    """Run all stages that are left, on every rank; all ranks end alike."""
    quieten()
    worker: Worker | None = None
    first = first_heartbeat()

    def heartbeat() -> Heartbeat:
        return first if worker is None else worker.heartbeat()

    with config["heartbeat_sender"].sending(heartbeat):
        saved, problem = None, None
        try:
            worker = Worker(from_tree(Run, config["run"], "run"), config["show"], config["stop"])
            saved = worker.load(config["allowed"])
        except ConfigError as error:
            problem = str(error)
        place = None if saved is None else (saved.stage, saved.position)
        precision = "" if worker is None else worker.precision
        problems, precisions, places = zip(
            *gather_objects((problem, precision, place)), strict=True
        )
        if problem := next(filter(None, problems), None) or mixed_precision(precisions):
            return _End(error=problem)
        if len(set(places)) > 1:  # storage that is slow to show all machines the same
            raise RuntimeError(f"the ranks read checkpoints of different steps: {places}")
        assert worker is not None
        try:
            return _End(stopped=not _run_stages(worker, saved))
        except WriteError:  # of the first rank alone: the others must not wait for it
            raise
        except (ConfigError, FloatingPointError) as error:  # of all ranks alike
            return _End(error=str(error))


def _run_stages(worker: Worker, saved: SavedState | None) -> bool:
    """Run all stages from the checkpoint's on; return whether they came to their end."""
    first = 0 if saved is None else saved.stage
    return all(
        worker.run_stage(index, saved if index == first else None)
        for index in range(first, len(worker.run.training.stages))
    )


KEEPS_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**26),
}
"""Environment in which the GNU C library keeps freed memory; other libraries do not look at it.

A step on a CPU makes and frees gigabytes of activations. By default their pages go back to the
system each time and come again one by one, filled with zeros: some 7 % of the step's time. The
process holds about what its largest step needs, as it would anyway at that moment.
"""
