"""How large the joined cluster is, and how far it may grow."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
import yaml

from sparta_ray.on_ray.resources import DEMANDING, Node, check_resources
from sparta_ray.run.settings import Run

_LAUNCHED = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` leaves a cluster's file on its head, on which submitted jobs run."""


def joins_cluster() -> bool:
    """Return whether a running cluster is named, as in a submitted job."""
    return bool(os.environ.get("RAY_ADDRESS"))


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
    return (node_limits(_cluster_file(launched)) if joins_cluster() else []) or nodes_now()


def _cluster_file(launched: Path) -> dict[str, Any]:
    """Return the file that the cluster was launched with; nothing where there is none."""
    file = launched.expanduser()
    return dict(yaml.safe_load(file.read_text())) if file.exists() else {}


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


def nodes_at_least(config: Mapping[str, Any]) -> int:
    """Return how many nodes a cluster's file wants even when nothing is to be done."""
    kinds = config.get("available_node_types", {}).values()
    return sum((int(kind.get("min_workers", 0)) for kind in kinds), start=1)


def may_grow() -> bool:
    """Return whether nodes may come that are not there yet."""
    most = nodes_at_most()
    return most is None or len(most) > len(nodes_now())


def check_cluster(run: Run, links: Collection[str] = DEMANDING, launched: Path = _LAUNCHED) -> str:
    """Return in a line what the run can have of the joined cluster.

    Raises:
        ConfigError: Even grown as far as it may, the cluster cannot hold the run.
    """
    now, most = nodes_now(), nodes_at_most(launched)
    text = f"cluster: {total(now)}"
    if len(now) < (least := nodes_at_least(_cluster_file(launched))):
        text += (
            f", of the {least} nodes that its file wants at least; `ray status` on the head says "
            "whether the others still come, or what keeps them (a quota, a machine that is off)"
        )
    if most is None:
        return f"{text}; it grows up to limits that only its operator knows"
    check_resources(run, most, links)
    return text if total(most) == total(now) else f"{text}; it may grow to {total(most)}"


def total(nodes: Sequence[Node]) -> str:
    """Return in words what the nodes have together."""
    cpus, gpus = sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)
    return f"{len(nodes)} nodes, {cpus:g} CPUs, {gpus:g} GPUs"
