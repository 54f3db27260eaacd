"""The nodes of a cluster, asked before a run trusts them: versions, clocks, and shared storage."""

import platform
import site
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import distributions
from operator import itemgetter
from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.paths import is_local, open_filesystem

_PACKAGES = ("sparta-ray", "ray", "torch", "numpy", "xarray", "zarr")
_CLOCK_TOLERANCE = 60.0
_PATIENCE = 180.0

_OWN_DISKS = {"ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "overlay", "vfat", "unknown"}
"""Kinds of file systems that one machine has for itself."""


@dataclass(frozen=True)
class NodeReport:
    """What a node says of itself.

    Attributes:
        address: Its address in the cluster.
        versions: Of Python, this project and what it stands on.
        clock: Seconds by which its clock is ahead of the driver's, or behind if negative.
        unreachable: What is wrong with each folder that it cannot share; empty if all are well.
    """

    address: str
    versions: dict[str, str]
    clock: float
    unreachable: tuple[str, ...] = ()


def check_nodes(folders: Sequence[str], files: Sequence[str] = ()) -> None:
    """Refuse a cluster whose nodes do not agree, or cannot all reach the run's storage.

    Args:
        folders: Paths or fsspec URLs that every node must read and write.
        files: What every node must be able to read.

    Raises:
        ConfigError: Names each node, what is wrong with it, and the remedy.
    """
    with _probe(folders) as probe:
        reports = _ask([f"{folder}/{probe}" for folder in folders], files)
    problems = disagreements(own_versions(), reports)
    if problems:
        raise ConfigError("the cluster's nodes do not agree:\n  " + "\n  ".join(problems))


def refuse_own_disks(paths: Sequence[str], mounts: Path = Path("/proc/self/mounts")) -> None:
    """Refuse local paths for a cluster that adds nodes, unless a file server holds them.

    Raises:
        ConfigError: Names the path; nodes that are still to come would not see it.
    """
    mounted = [line.split()[1:3] for line in mounts.read_text().splitlines()]
    for url in paths:
        if not is_local(url):
            continue
        path = url.removeprefix("file://").removeprefix("local://")
        at = [(len(point), kind) for point, kind in mounted if Path(path).is_relative_to(point)]
        if max(at, default=(0, "unknown"))[1] in _OWN_DISKS:
            raise ConfigError(
                f"{url} lies on this node's own disk, which nodes that the cluster adds do not "
                "see; give --set folder=… and --set data.store=… a URL such as gs://…, or a "
                "folder that all nodes mount"
            )


def disagreements(versions: Mapping[str, str], nodes: Sequence[NodeReport]) -> list[str]:
    """List what is wrong with each node; `versions` are the driver's own."""
    return [problem for node in nodes for problem in _problems(versions, node)]


def _problems(versions: Mapping[str, str], node: NodeReport) -> Iterator[str]:
    for name, expected in versions.items():
        found = node.versions.get(name, "missing")
        if found != expected:
            yield (
                f"{node.address} has {name} {found}, the driver {expected}; start all nodes from "
                "the same image, or install the same versions (pip install -c constraints.txt)"
            )
    if abs(node.clock) > _CLOCK_TOLERANCE:
        yield f"{node.address} has a clock {node.clock:+.0f} s off; synchronise it (NTP)"
    for reason in node.unreachable:
        yield (
            f"{node.address} {reason}; put it on a disk that all nodes mount, or use a URL such as "
            "gs://… (--set folder=…, --set data.store=…)"
        )


def own_versions() -> dict[str, str]:
    """Return the versions that must agree; a build's suffix, such as +cpu, may differ.

    Only what is installed counts: a job brings its own copy of this project, and Ray shows nodes
    the driver's folders, which say nothing of a node's image.
    """
    installed = [*site.getsitepackages(), site.getusersitepackages()]
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        here = next(iter(distributions(name=name, path=installed)), None)
        found[name] = "missing" if here is None else here.version.partition("+")[0]
    return found


@contextmanager
def _probe(folders: Sequence[str]) -> Iterator[str]:
    """Leave a small file in every folder for as long as nodes look for it."""
    probe = f".probe-{uuid.uuid4().hex[:8]}"
    written = []
    try:
        for folder in folders:
            try:
                filesystem, root = open_filesystem(f"{folder}/{probe}")
                filesystem.makedirs(root, exist_ok=True)
                written.append((filesystem, root))
                filesystem.pipe_file(f"{root}/driver", probe.encode())
            except Exception as error:  # each kind of storage has errors of its own
                raise ConfigError(f"cannot write to {folder}: {_short(error)}") from error
        yield probe
    finally:
        for filesystem, root in written:
            filesystem.rm(root, recursive=True)


def _ask(probes: Sequence[str], files: Sequence[str]) -> list[NodeReport]:
    """Return every node's report, always in one order; all are asked at the same time."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    asked_at = time.time()
    asked = [
        (
            node["NodeManagerAddress"],
            ray.remote(_report)
            .options(
                num_cpus=0,
                max_retries=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
            )
            .remote(node["NodeManagerAddress"], tuple(probes), tuple(files)),
        )
        for node in sorted(alive, key=itemgetter("NodeManagerAddress", "NodeID"))
    ]
    reports = [_answer(address, reference) for address, reference in asked]
    return [replace(report, clock=_off(report.clock, asked_at, time.time())) for report in reports]


def _answer(address: str, reference: "ray.ObjectRef[NodeReport]") -> NodeReport:
    try:
        answer = ray.get(reference, timeout=_PATIENCE)
    except ray.exceptions.RayError as error:
        raise ConfigError(
            f"node {address} cannot run a task of this project: {_short(error)}; start it from the "
            "same image as the others, and look at its logs in Ray's dashboard"
        ) from error
    assert isinstance(answer, NodeReport)
    return answer


def _off(clock: float, asked_at: float, answered_at: float) -> float:
    """Return how far a clock stands outside the time between question and answer, in seconds."""
    return min(clock - asked_at, 0.0) + max(clock - answered_at, 0.0)


def _report(address: str, probes: tuple[str, ...], files: tuple[str, ...]) -> NodeReport:
    """Report on the node that this task runs on; its clock as it stands."""
    found = [_unusable(address, probe) for probe in probes] + [_unreadable(file) for file in files]
    return NodeReport(address, own_versions(), time.time(), tuple(filter(None, found)))


def _unusable(address: str, probe: str) -> str:
    if reason := _unreadable(f"{probe}/driver"):
        return reason
    try:
        filesystem, root = open_filesystem(probe)
        filesystem.pipe_file(f"{root}/{address}", b"here")
    except Exception as error:  # each kind of storage has errors of its own
        return f"cannot write to {probe.rpartition('/')[0]}: {_short(error)}"
    return ""


def _unreadable(file: str) -> str:
    try:
        filesystem, path = open_filesystem(file)
        filesystem.cat_file(path)
    except FileNotFoundError:
        return f"does not see {file}, which the driver sees"
    except Exception as error:  # each kind of storage has errors of its own
        return f"cannot read {file}: {_short(error)}"
    return ""


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].strip()
