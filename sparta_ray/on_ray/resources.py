"""What a run asks of a cluster at the same time, and whether given nodes can give it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sparta_ray.base.errors import ConfigError
from sparta_ray.run.settings import Run
from sparta_ray.training.config import ScalingConfig

DEMANDING = ("train", "downstream")
"""The links that need more than one CPU at the same time."""

UNITS_AHEAD = 6
"""Batches of one worker in shared memory beside its builders': one in training, two that wait and
one that is brought (`training/prefetch.py`), two that Ray Data has built and not handed over."""


@dataclass(frozen=True)
class Node:
    """The CPUs and GPUs of one machine, used or not, and its object store in bytes."""

    cpus: float
    gpus: float = 0
    store: float = float("inf")


@dataclass(frozen=True)
class ResourceRequest:
    """What one link of the chain needs before it can work at all.

    Attributes:
        link: Name of the link.
        bundles: What it needs at the same time; each bundle is of one node.
        description: The same in words.
    """

    link: str
    bundles: tuple[Node, ...]
    description: str

    @property
    def cpus(self) -> float:
        """CPUs of all bundles."""
        return sum(bundle.cpus for bundle in self.bundles)

    @property
    def gpus(self) -> float:
        """GPUs of all bundles."""
        return sum(bundle.gpus for bundle in self.bundles)


def resource_requests(run: Run) -> list[ResourceRequest]:
    """Return what each link of a run needs; links run one after the other."""
    return [shard_request(), training_request(run), trial_request(run)]


def shard_request() -> ResourceRequest:
    """Return what preparing needs: one CPU; it takes more as they come."""
    return ResourceRequest("prepare", (Node(1),), "1 CPU a shard, as many at a time as there are")


def training_request(run: Run) -> ResourceRequest:
    """Return what training needs: all of it at the same time, or it waits for ever.

    Of an elastic run, what its fewest workers need.
    """
    scaling = run.scaling
    each = f"{scaling.cpus_per_worker:g} CPUs" + (" and 1 GPU" if scaling.use_gpu else "")
    workers = scaling.fewest_workers
    builders = workers * scaling.builders_per_worker
    description = f"{workers} workers of {each}, {builders} builders of 1 CPU"
    if scaling.elastic:
        description += f" beside them; where there is room, up to {scaling.most_workers} workers"
    return ResourceRequest("train", _training_pieces(scaling, workers), description)


def _training_pieces(scaling: ScalingConfig, workers: int) -> tuple[Node, ...]:
    """Return what some workers and their builders need, in bundles of one node each."""
    gpus = 1 if scaling.use_gpu else 0
    if scaling.elastic:  # the builders sit in what their worker reserves
        return (Node(scaling.cpus_with_builders, gpus),) * workers
    builders = (Node(1),) * (workers * scaling.builders_per_worker)
    return (Node(scaling.cpus_per_worker, gpus),) * workers + builders


def trial_request(run: Run) -> ResourceRequest:
    """Return what downstream training needs: room for one trial; it takes more as they come."""
    trial = Node(run.downstream.cpus_per_trial, run.downstream.gpus_per_trial)
    return ResourceRequest(
        "downstream",
        (trial,),
        f"{trial.cpus:g} CPUs and {trial.gpus:g} GPUs a trial, "
        f"at most {run.downstream.max_concurrent or 'as many as fit'} at a time",
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
            f"scaling asks for {scaling.cpus:g} CPUs ({scaling.fewest_workers} workers of "
            f"{scaling.cpus_per_worker:g}, each with {scaling.builders_per_worker} builders of 1) "
            f"but the cluster has {cpus:g}; lower scaling.num_workers, scaling.cpus_per_worker or "
            "scaling.builders_per_worker"
        )
    if scaling.use_gpu and scaling.fewest_workers > gpus:
        raise ConfigError(
            f"scaling asks for {scaling.fewest_workers} GPUs but the cluster has {gpus:g}; lower "
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
    bundles, count = _training_pieces(run.scaling, run.scaling.most_workers), 0
    while holds(nodes, bundles * (count + 1)):
        count += 1
    return count


def _check_places(run: Run, nodes: Sequence[Node]) -> None:
    """Refuse a run whose totals are there, but not in bundles that its parts fit into."""
    if holds(nodes, training_request(run).bundles):
        return
    sizes = ", ".join(f"{node.cpus:g} CPUs and {node.gpus:g} GPUs" for node in nodes)
    raise ConfigError(
        f"scaling asks for {training_request(run).description}; they do not fit into nodes "
        f"of {sizes}; lower scaling.num_workers, scaling.cpus_per_worker or "
        "scaling.builders_per_worker"
    )


def holds(nodes: Sequence[Node], bundles: Sequence[Node]) -> bool:
    """Return whether the nodes, if empty, have room for all bundles at the same time.

    The largest bundles go first, and GPU nodes are filled first, as Ray packs them.

    >>> holds([Node(3), Node(3)], [Node(2), Node(2), Node(2)])
    False
    """
    left = sorted(nodes, key=_size, reverse=True)
    for bundle in sorted(bundles, key=_size, reverse=True):
        place = next(
            (i for i, node in enumerate(left) if _fits(node, bundle.cpus, bundle.gpus)), None
        )
        if place is None:
            return False
        left[place] = Node(left[place].cpus - bundle.cpus, left[place].gpus - bundle.gpus)
    return True


def _size(node: Node) -> tuple[float, float]:
    return node.gpus, node.cpus


def check_object_store(run: Run, row_bytes: int, nodes: Sequence[Node]) -> None:
    """Refuse batches that a node's shared memory cannot hold: they would never come.

    Args:
        run: What is to be trained.
        row_bytes: Of one compact row.
        nodes: Where its workers and builders may be.

    Raises:
        ConfigError: Names both sizes, and what to change.
    """
    scaling, sampling = run.scaling, run.sampling
    rows = -(-sampling.rows_per_full_batch // scaling.fewest_workers)
    units = scaling.builders_per_worker + UNITS_AHEAD
    for node in nodes:
        fit = _fits(node, scaling.cpus_per_worker, 1 if scaling.use_gpu else 0)
        workers = min(scaling.fewest_workers, fit)
        need = workers * units * rows * row_bytes
        if need <= node.store:
            continue
        raise ConfigError(
            f"the object store of a node has {node.store / 1e6:,.0f} MB, but for {workers} workers "
            f"there, {units} batches of {rows} rows each (one of each builder, {UNITS_AHEAD} ahead "
            f"of training) take {need / 1e6:,.0f} MB; raise scaling.object_store_gb (on a cluster "
            "that you join, --object-store-memory of `ray start`), or lower sampling.rows_per_batch"
        )


def _fits(node: Node, cpus: float, gpus: float) -> int:
    by_cpu = int(node.cpus / cpus + 1e-9)
    return min(by_cpu, int(node.gpus / gpus + 1e-9)) if gpus else by_cpu
