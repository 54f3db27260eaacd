"""Ray, started quietly or joined, and asked first whether it can hold the run."""

import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import ray
import torch

from sparta_ray.config import ConfigError
from sparta_ray.progress import ProgressLine
from sparta_ray.run import Run

_ENVIRONMENT = {
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""For every process: quiet, and no spinning where threads share a core."""

_LOCAL_ENVIRONMENT = {"RAY_worker_niceness": "0"}
"""For a Ray of our own: at Ray's niceness of 15 any other program gets 97 % of a core that both
want, and threads that wait for each other slow down tenfold."""

_QUIET_LOGGERS = {
    "ray.data": logging.WARNING,
    "ray.train": logging.WARNING,
    "ray.tune": logging.WARNING,
    "ray.data._internal.progress": logging.ERROR,  # says at every stream that bars are off
    "ray._private.authentication": logging.ERROR,  # says at every start that tokens are on
}


def quieten() -> None:
    """Let this process's Ray libraries speak of problems alone; progress lines say the rest."""
    import ray.data  # noqa: F401 - sets its loggers' levels on import, so that must be over
    from ray.train.v2._internal.execution import context

    for name, level in _QUIET_LOGGERS.items():
        logging.getLogger(name).setLevel(level)
    # This one is named by its file, and repeats the metrics of every checkpoint.
    logging.getLogger(context.__file__).setLevel(logging.WARNING)


def joins_cluster() -> bool:
    """Return whether a running cluster is named, as in a submitted job."""
    return bool(os.environ.get("RAY_ADDRESS"))


def local_cpus() -> int:
    """Return the CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


def check_resources(run: Run, nodes: list[tuple[float, float]]) -> None:
    """Refuse a run that would wait for ever for what the cluster does not have.

    Args:
        run: What is asked.
        nodes: CPUs and GPUs of each node.

    Raises:
        ConfigError: Names what is asked, what is there, and what to lower.
    """
    scaling, downstream = run.scaling, run.downstream
    cpus, gpus = (sum(resource) for resource in zip(*nodes, strict=True))
    largest = max(cpus for cpus, _ in nodes)
    if max(scaling.cpus_per_worker, downstream.cpus_per_trial) > largest:
        raise ConfigError(
            f"a worker asks for {scaling.cpus_per_worker:g} CPUs and a downstream trial for "
            f"{downstream.cpus_per_trial:g}, but the largest node has {largest:g}; lower "
            "scaling.cpus_per_worker or downstream.cpus_per_trial"
        )
    if scaling.cpus > cpus:
        raise ConfigError(
            f"scaling asks for {scaling.cpus:g} CPUs ({scaling.num_workers} workers of "
            f"{scaling.cpus_per_worker:g}, each with {scaling.builders_per_worker} builders of 1) "
            f"but the cluster has {cpus:g}; lower scaling.num_workers or scaling.cpus_per_worker"
        )
    if scaling.use_gpu and scaling.num_workers > gpus:
        raise ConfigError(
            f"scaling asks for {scaling.num_workers} GPUs but the cluster has {gpus:g}; lower "
            "scaling.num_workers, or set scaling.use_gpu=false"
        )
    if downstream.cpus_per_trial > cpus or downstream.gpus_per_trial > gpus:
        raise ConfigError(
            f"a downstream trial asks for {downstream.cpus_per_trial:g} CPUs and "
            f"{downstream.gpus_per_trial:g} GPUs but the cluster has {cpus:g} and {gpus:g}; lower "
            "downstream.cpus_per_trial or downstream.gpus_per_trial"
        )


@contextmanager
def ray_session(run: Run) -> Iterator[None]:
    """Join the named cluster, or start one on this machine, for as long as the run takes.

    Raises:
        ConfigError: It cannot hold the run.
    """
    if not joins_cluster():
        check_resources(run, [(local_cpus(), torch.cuda.device_count())])
    environment = _ENVIRONMENT | ({} if joins_cluster() else _LOCAL_ENVIRONMENT)
    for name, value in environment.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
    quieten()
    local = {
        "num_cpus": local_cpus(),
        "object_store_memory": int(run.scaling.object_store_gb * 2**30),
    }
    ray.init(
        logging_level="WARNING",
        logging_config=ray.LoggingConfig(log_level="WARNING"),
        runtime_env={"env_vars": _ENVIRONMENT},
        **({} if joins_cluster() else {"address": "local", **local}),
    )
    try:
        alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        check_resources(run, [(node.get("CPU", 0), node.get("GPU", 0)) for node in alive])
        yield
    finally:
        ray.shutdown()


@contextmanager
def own_interrupt() -> Iterator[None]:
    """Keep Ctrl-C the caller's: Train leaves a handler of its own behind, Tune swallows it."""
    handler = signal.getsignal(signal.SIGINT)
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


class Show:
    """Sends progress from any process of the cluster to the one that started the run."""

    def __init__(self, board: "ray.actor.ActorHandle[_Board]"):
        self._board = board

    def __call__(self, label: str, done: int, total: int, text: str) -> None:
        """Show how far an activity has come; does not wait."""
        self._board.put.remote((label, done, total, text))


@contextmanager
def watched() -> Iterator[Show]:
    """Print here, as they come, the progress lines that workers show."""
    board = ray.remote(_Board).options(num_cpus=0).remote()
    over = threading.Event()
    printer = threading.Thread(target=_print_lines, args=(board, over), daemon=True)
    printer.start()
    try:
        yield Show(board)
    finally:
        over.set()
        printer.join()


class _Board:
    """Holds progress lines until they are taken."""

    def __init__(self) -> None:
        self._lines: list[tuple[str, int, int, str]] = []

    def put(self, line: tuple[str, int, int, str]) -> None:
        self._lines.append(line)

    def take(self) -> list[tuple[str, int, int, str]]:
        lines, self._lines = self._lines, []
        return lines


def _print_lines(board: "ray.actor.ActorHandle[_Board]", over: threading.Event) -> None:
    lines: dict[str, ProgressLine] = {}
    last_round = False
    while not last_round:
        last_round = over.wait(timeout=0.5)
        for label, done, total, text in ray.get(board.take.remote()):
            line = lines.setdefault(label, ProgressLine(label, every=0.0))
            line.show(done, total, text)
