"""What a run asks of a cluster at the same time, and whether given nodes can give it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sparta_ray.config import ConfigError
from sparta_ray.run import Run
from sparta_ray.training.config import ScalingConfig

DEMANDING = ("train", "downstream")
"""The links that need more than one CPU at the same time."""


@dataclass(frozen=True)
class Node:
    """The CPUs and GPUs of one machine, used or not."""

    cpus: float
    gpus: float = 0


@dataclass(frozen=True)
class Ask:
    """What one link of the chain needs before it can work at all.

    Attributes:
        link: Name of the link.
        cpus: CPUs at the same time.
        gpus: GPUs at the same time.
        made_of: The same in words.
    """

    link: str
    cpus: float
    gpus: float
    made_of: str


def asks(run: Run) -> list[Ask]:
    """Return what each link of a run needs; links run one after the other."""
    downstream = run.downstream
    return [
        Ask("prepare", 1, 0, "1 CPU a shard, as many at a time as there are"),
        training_ask(run),
        Ask(
            "downstream",
            downstream.cpus_per_trial,
            downstream.gpus_per_trial,
            f"{downstream.cpus_per_trial:g} CPUs and {downstream.gpus_per_trial:g} GPUs a trial, "
            f"at most {downstream.max_concurrent or 'as many as fit'} at a time",
        ),
    ]


def training_ask(run: Run) -> Ask:
    """Return what training needs: all of it at the same time, or it waits for ever."""
    scaling = run.scaling
    workers, gpus = scaling.num_workers, scaling.num_workers if scaling.use_gpu else 0
    each = f"{scaling.cpus_per_worker:g} CPUs" + (" and 1 GPU" if gpus else "")
    builders = workers * scaling.builders_per_worker
    return Ask(
        "train", scaling.cpus, gpus, f"{workers} workers of {each}, {builders} builders of 1 CPU"
    )


def check_resources(run: Run, nodes: Sequence[Node], links: Collection[str] = DEMANDING) -> None:
    """Refuse a run that would wait for ever for what the nodes do not have.

    Args:
        run: What is to be done.
        nodes: Where.
        links: The links of its chain that are to be done.

    Raises:
        ConfigError: Names what is asked, what is there, and what to lower.
    """
    if "train" in links:
        _check_training(run, nodes)
    if "downstream" in links:
        _check_trials(run, nodes)


def _check_training(run: Run, nodes: Sequence[Node]) -> None:
    scaling = run.scaling
    cpus, gpus = sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)
    largest = max((node.cpus for node in nodes), default=0)
    if scaling.cpus_per_worker > largest:
        raise ConfigError(
            f"a worker asks for {scaling.cpus_per_worker:g} CPUs, but the largest node has "
            f"{largest:g}; lower scaling.cpus_per_worker"
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
    _check_places(run, nodes)


def _check_trials(run: Run, nodes: Sequence[Node]) -> None:
    downstream = run.downstream
    if fitting_trials(run, nodes) == 0:
        raise ConfigError(
            f"a downstream trial asks for {downstream.cpus_per_trial:g} CPUs and "
            f"{downstream.gpus_per_trial:g} GPUs of one node, but none has them; lower "
            "downstream.cpus_per_trial or downstream.gpus_per_trial"
        )


def fitting_trials(run: Run, nodes: Sequence[Node]) -> int:
    """Return how many downstream trials the nodes hold at a time.

    Two nodes of 3 CPUs hold two trials of 2 CPUs, not three.
    """
    downstream = run.downstream
    return sum(_fits(node, downstream.cpus_per_trial, downstream.gpus_per_trial) for node in nodes)


def fitting_trainings(run: Run, nodes: Sequence[Node]) -> int:
    """Return how many trainings such as this run's the nodes hold at a time, with their data."""
    count = 0
    while _has_places(run.scaling, count + 1, nodes):
        count += 1
    return count


def _has_places(scaling: ScalingConfig, trainings: int, nodes: Sequence[Node]) -> bool:
    """Return whether all parts of some trainings find room at the same time.

    Workers go to GPU nodes first, as Ray packs them; builders take whole CPUs that are left.
    """
    left, workers = 0, trainings * scaling.num_workers
    for node in sorted(nodes, key=lambda node: (node.gpus, node.cpus), reverse=True):
        placed = min(workers, _fits(node, scaling.cpus_per_worker, 1 if scaling.use_gpu else 0))
        workers -= placed
        left += int(node.cpus - placed * scaling.cpus_per_worker)
    return workers == 0 and left >= trainings * scaling.num_workers * scaling.builders_per_worker


def _check_places(run: Run, nodes: Sequence[Node]) -> None:
    """Refuse a run whose totals are there, but not in pieces that its parts fit into."""
    scaling = run.scaling
    if not _has_places(scaling, 1, nodes):
        sizes = ", ".join(f"{node.cpus:g} CPUs and {node.gpus:g} GPUs" for node in nodes)
        raise ConfigError(
            f"scaling asks for {scaling.num_workers} workers of {scaling.cpus_per_worker:g} CPUs"
            f"{' and 1 GPU' if scaling.use_gpu else ''} and "
            f"{scaling.num_workers * scaling.builders_per_worker} builders of 1 CPU; they do "
            f"not fit into nodes of {sizes}; lower scaling.num_workers, scaling.cpus_per_worker "
            "or scaling.builders_per_worker"
        )


def _fits(node: Node, cpus: float, gpus: float) -> int:
    by_cpu = int(node.cpus / cpus + 1e-9)
    return min(by_cpu, int(node.gpus / gpus + 1e-9)) if gpus else by_cpu
