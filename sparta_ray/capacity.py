"""How large the joined cluster is and may grow, and waiting there for one's turn.

Training needs its workers and its builders at the same time. Two runs that each hold a part of what
both need would wait for each other for ever; so a run begins to train only when all of it is free,
and one run at a time begins.
"""

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
import yaml
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sparta_ray.placement import DEMANDING, Node, check_resources, training_ask
from sparta_ray.run import Run

_LAUNCHED = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` leaves a cluster's file on its head, on which submitted jobs run."""

_TURN = "sparta-ray-begins"


def joins_cluster() -> bool:
    """Return whether a running cluster is named, as in a submitted job."""
    return bool(os.environ.get("RAY_ADDRESS"))


def beside_driver() -> dict[str, Any]:
    """Return options of an actor without CPUs that no lost worker node takes with it."""
    node = ray.get_runtime_context().get_node_id()
    return {
        "num_cpus": 0,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False),
    }


def nodes_now() -> list[Node]:
    """Return the nodes that are there."""
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [
        Node(node.get("CPU", 0), node.get("GPU", 0), node.get("object_store_memory", 0))
        for node in alive
    ]


def nodes_at_most(launched: Path = _LAUNCHED) -> list[Node] | None:
    """Return the nodes that there may be; None where an operator keeps the limits to itself."""
    if os.environ.get("RAY_USAGE_STATS_KUBERAY_IN_USE"):
        return None
    file = launched.expanduser()
    if not joins_cluster():
        return nodes_now()
    limits = node_limits(yaml.safe_load(file.read_text())) if file.exists() else []
    return limits or nodes_now()


def node_limits(config: Mapping[str, Any]) -> list[Node]:
    """Return the head and as many workers of each kind as a cluster's file allows.

    None at all for a lab's own machines: such a file does not say how large they are, and all of
    them are there from the start.
    """
    nodes = []
    for name, kind in config.get("available_node_types", {}).items():
        most = kind.get("max_workers", config.get("max_workers", 0))
        count = most + (name == config.get("head_node_type"))
        if sizes := kind.get("resources"):
            nodes += [Node(sizes.get("CPU", 0), sizes.get("GPU", 0))] * count
    return nodes


def may_grow() -> bool:
    """Return whether nodes may come that are not there yet."""
    most = nodes_at_most()
    return most is None or len(most) > len(nodes_now())


def check_cluster(run: Run, links: Collection[str] = DEMANDING) -> str:
    """Return in a line what the run can have of the joined cluster.

    Raises:
        ConfigError: Even grown as far as it may, the cluster cannot hold the run.
    """
    now, most = nodes_now(), nodes_at_most()
    text = f"cluster: {_total(now)}"
    if most is None:
        return f"{text}; it grows up to limits that only its operator knows"
    check_resources(run, most, links)
    return text if _total(most) == _total(now) else f"{text}; it may grow to {_total(most)}"


def _total(nodes: list[Node]) -> str:
    cpus, gpus = sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)
    return f"{len(nodes)} nodes, {cpus:g} CPUs, {gpus:g} GPUs"


@contextmanager
def turn_to_train(run: Run, every: float = 60.0) -> Iterator[Callable[[], None]]:
    """Wait until the cluster has room for a whole run, and let no other begin meanwhile.

    Args:
        run: What is to be trained.
        every: Seconds between two lines that say what is waited for.

    Yields:
        To be called once training has what it needs: the next run may begin.
    """
    if not joins_cluster():  # a Ray of our own holds one run
        yield lambda: None
        return
    said = float("-inf")
    while (turn := _take_turn(run)) is None:
        if time.monotonic() - said >= every:
            said = time.monotonic()
            print(f"train queued: {_reason(run)}", flush=True)
        time.sleep(2)
    give_back = _GiveBack(turn)
    try:
        yield give_back
    finally:
        give_back()


class _GiveBack:
    """Gives a turn back, once, from any process of the cluster."""

    def __init__(self, turn: "ray.actor.ActorHandle[_Turn]"):
        self._turn: ray.actor.ActorHandle[_Turn] | None = turn

    def __call__(self) -> None:
        if self._turn is not None:
            ray.kill(self._turn)  # nothing happens if it is gone already
            self._turn = None


class _Turn:
    """Exists while a run begins; ends with the run that made it, however that ends."""


def _take_turn(run: Run) -> "ray.actor.ActorHandle[_Turn] | None":
    """Return the turn if there is room and no other run has it."""
    if not _has_room(run):
        return None
    try:
        turn = ray.remote(_Turn).options(name=_TURN, namespace=_TURN, **beside_driver()).remote()
    except ValueError:  # the name is taken
        return None
    if _has_room(run):  # still, now that no other begins
        return turn
    ray.kill(turn)
    return None


def _has_room(run: Run) -> bool:
    """Return whether what is free, or can still be added, holds all that training needs."""
    free, ask = _free(), training_ask(run)
    return free is None or (free[0] >= ask.cpus and free[1] >= ask.gpus)


def _free() -> tuple[float, float] | None:
    """Return CPUs and GPUs that are free or can be added; None where that is not known."""
    most = nodes_at_most()
    if most is None:
        return None
    total, available = ray.cluster_resources(), ray.available_resources()
    cpus, gpus = (total.get(name, 0) - available.get(name, 0) for name in ("CPU", "GPU"))
    return sum(node.cpus for node in most) - cpus, sum(node.gpus for node in most) - gpus


def _reason(run: Run) -> str:
    free = _free()
    if free is None or _has_room(run):
        return "another run is beginning"
    ask = training_ask(run)
    return (
        f"it needs {ask.cpus:g} CPUs and {ask.gpus:g} GPUs, of which {free[0]:g} and {free[1]:g} "
        "are free; it begins when other runs give theirs back"
    )
