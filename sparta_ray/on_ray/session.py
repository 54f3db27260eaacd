"""Start or join a Ray cluster after checking that it has the resources that the run needs."""

import logging
import os
import signal
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import ray
import torch

from sparta_ray.on_ray.cluster_size import check_cluster, joins_cluster, may_grow
from sparta_ray.on_ray.nodes import check_nodes, refuse_own_disks
from sparta_ray.on_ray.queueing import sole_job
from sparta_ray.on_ray.resources import DEMANDING, Node, check_resources
from sparta_ray.on_ray.stopping import ending_signals
from sparta_ray.run.memory import Memory, check_memory
from sparta_ray.run.settings import Run

TASK_ENVIRONMENT = {"ZARR_THREADING__MAX_WORKERS": "1"}
"""For tasks that read: each has one core, so Zarr decodes in one thread.

By default it has one for each core and four more. Each keeps memory of its own, the more the longer
it reads: fields of 0.25° take 150 MiB in the end instead of 60."""

_ENVIRONMENT = {
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "OMP_WAIT_POLICY": "PASSIVE",
    **TASK_ENVIRONMENT,
}
"""For every process: quiet, and no spinning where threads share a core."""

_LOCAL_ENVIRONMENT = {"RAY_worker_niceness": "0"}
"""For a Ray that we start ourselves: at Ray's niceness of 15 any other program gets 97 % of a core
that both want, and threads that wait for each other slow down tenfold."""

_PATIENT_ENVIRONMENT = {"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "1800"}
"""For a cluster that may have to add nodes first: a GPU machine takes minutes to come.

Not for an elastic run, which is to go on with what is there: after a lost node Train may ask once
for as many workers as before, and looks again when their time is up, a minute by default."""

_QUIET_LOGGERS = {
    "ray.data": logging.WARNING,
    "ray.train": logging.WARNING,
    "ray.tune": logging.WARNING,
    "ray.data._internal.progress": logging.ERROR,  # says at every stream that bars are off
    "ray._private.authentication": logging.ERROR,  # says at every start that tokens are on
}


def quieten() -> None:
    """Let Ray's libraries log only problems in this process; progress lines say the rest."""
    import ray.data  # noqa: F401 - sets its loggers' levels on import, so that must be over
    from ray.train.v2._internal.execution import context

    for name, level in _QUIET_LOGGERS.items():
        logging.getLogger(name).setLevel(level)
    # This one is named by its file, and repeats the metrics of every checkpoint.
    logging.getLogger(context.__file__).setLevel(logging.WARNING)


def local_cpus() -> int:
    """Return the CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


@contextmanager
def ray_session(
    run: Run, links: Collection[str] = DEMANDING, prepared: bool = False
) -> Iterator[None]:
    """Join the named cluster, or start one on this machine, for as long as the run takes.

    Whether it has the resources that the run needs, and whether its nodes agree, is checked first.
    SIGTERM, as sent by ``ray job stop``, and SIGHUP, as sent by a terminal that closes, end the
    session like Ctrl-C.

    Args:
        run: What is done in the session.
        links: Which links of its chain.
        prepared: Whether the run's store is finished, so that nodes only have to read it.

    Raises:
        ConfigError: It cannot hold the run, its nodes differ, they do not share its folders, or
            another job has the run's.
    """
    if not joins_cluster():
        check_local(run, links)
    for name, value in (_ENVIRONMENT | _own_environment(run)).items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
    quieten()
    with _connected(run), _terminate_as_interrupt():
        if not joins_cluster():
            yield
            return
        print(check_cluster(run, links), flush=True)
        with sole_job(run.path):
            check_storage(run, prepared)
            yield


def _own_environment(run: Run) -> dict[str, str]:
    """Return further environment variables of this process and those that Ray starts for it."""
    if not joins_cluster():
        return _LOCAL_ENVIRONMENT
    return {} if run.scaling.elastic else _PATIENT_ENVIRONMENT


def adds_nodes() -> bool:
    """Return whether the joined cluster may add nodes; only the job's driver can tell."""
    return joins_cluster() and may_grow()


def check_storage(run: Run, prepared: bool) -> None:
    """Refuse storage that some node cannot reach, now or once it is added.

    On a cluster that grows, nodes are asked again when a run has all the resources that it begins
    with.

    Args:
        run: Whose folder and store.
        prepared: Whether the store is finished; it may then lie where nobody may write.

    Raises:
        ConfigError: Some node differs from the driver's, or does not reach the run's storage.
    """
    store = run.data.store
    if may_grow():
        refuse_own_disks([run.folder, store])
    if prepared:
        check_nodes([run.folder], [f"{store}/zarr.json"])
    else:
        check_nodes([run.folder, store.rpartition("/")[0]])


def check_local(run: Run, links: Collection[str] = DEMANDING) -> None:
    """Refuse what this machine cannot hold.

    Raises:
        ConfigError: See `check_resources`.
    """
    check_resources(run, [Node(local_cpus(), torch.cuda.device_count())], links)


def check_local_memory(run: Run, grid: tuple[int, int]) -> None:
    """Refuse a training that the memory of this machine, or of its GPU, cannot hold.

    Raises:
        ConfigError: See `check_memory`.
    """
    if run.scaling.use_gpu:
        size = torch.cuda.get_device_properties(0).total_memory
        check_memory(run, grid, Memory(size, 1, "its GPU"))
    else:
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        check_memory(run, grid, Memory(size, run.scaling.fewest_workers, "this machine"))


def describe_cluster(run: Run, links: Collection[str]) -> str:
    """Return what the joined cluster has and may grow to, if that is enough for these links.

    Raises:
        ConfigError: It is not enough.
    """
    quieten()
    with _connected(run):
        return check_cluster(run, links)


@contextmanager
def _connected(run: Run) -> Iterator[None]:
    # Workers look for their cluster by themselves, and may find another one on the same machine.
    found = {"RAY_ADDRESS": os.environ["RAY_ADDRESS"]} if joins_cluster() else {}
    local = {
        "address": "local",
        "num_cpus": local_cpus(),
        "object_store_memory": int(run.scaling.object_store_gb * 2**30),
    }
    ray.init(
        # Progress comes by the board and failures as exceptions; what else workers write is in
        # Ray's log folder, or here for whoever asks for it.
        log_to_driver=os.environ.get("RAY_LOG_TO_DRIVER") == "1",
        logging_level="WARNING",
        logging_config=ray.LoggingConfig(log_level="WARNING"),
        runtime_env={"env_vars": _ENVIRONMENT | found},
        **({} if joins_cluster() else local),
    )
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the run as Ctrl-C does; Ray's handler would exit silently."""
    handlers = {number: signal.getsignal(number) for number in ending_signals()}

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for number in handlers:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def own_interrupt() -> Iterator[None]:
    """Restore the caller's Ctrl-C handler afterwards: Train leaves its own, Tune swallows it."""
    handler = signal.getsignal(signal.SIGINT)
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
