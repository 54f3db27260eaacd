"""Sharing a cluster: waiting for free resources, for new machines, and for locks.

Training needs its workers and its builders at the same time. Two runs that each hold part of what
both need would wait for each other forever. So a run starts training only when everything it needs
is free, and only one run starts at a time.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray
from ray.util.placement_group import placement_group, remove_placement_group

from sparta_ray.base.errors import ConfigError
from sparta_ray.on_ray.cluster_size import joins_cluster, nodes_at_most, nodes_now, total
from sparta_ray.on_ray.message_board import NamedLock, on_driver_node
from sparta_ray.on_ray.resources import Node, ResourceRequest, holds, training_request
from sparta_ray.run.settings import Run

_ADMISSION = "sparta-ray-begins"
_FOLDER_LOCK = "sparta-ray-holds-"
_POLL_SECONDS = 2.0
"""Seconds between two checks."""

_PATIENCE = 1800.0
"""Seconds without a new machine after which none is believed to come."""

_GRACE = 20.0
"""Seconds in which a job that was stopped has let go of its run folder."""


@contextmanager
def sole_job(folder: str) -> Iterator[None]:
    """Hold a run folder, wherever it lies, so that no second job of the cluster writes into it.

    Raises:
        ConfigError: Another job holds it.
    """
    deadline = time.monotonic() + _GRACE
    while not (holder := _take(_FOLDER_LOCK + folder)):
        if time.monotonic() > deadline:
            raise ConfigError(
                f"the run folder {folder} is in use by another job of this cluster; wait for it or "
                "stop it (ray job list), or choose another name (--set name=…)"
            )
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        ray.kill(holder)


@contextmanager
def turn_to_train(run: Run, every: float = 60.0) -> Iterator[Callable[[], None]]:
    """Wait until the cluster has room for a whole run, and let no other begin meanwhile.

    Args:
        run: What is to be trained.
        every: Seconds between two lines that say what is waited for.

    Yields:
        To be called once training has what it needs: the next run may begin.

    Raises:
        ConfigError: The machines that it needs do not come.
    """
    if not joins_cluster():  # a Ray of our own holds one run
        yield lambda: None
        return
    give_back = _GiveBack(_wait_for_admission(training_request(run), every))
    try:
        yield give_back
    finally:
        give_back()


def wait_for_room(
    request: ResourceRequest, every: float = 60.0, patience: float = _PATIENCE
) -> None:
    """Wait until a joined cluster has what a link needs to begin with, and say so meanwhile.

    Raises:
        ConfigError: The machines that it needs do not come.
    """
    if joins_cluster():
        with _room(request, Waiting(request, every, patience)):
            pass


class _GiveBack:
    """Releases the lock, once, from any process of the cluster."""

    def __init__(self, lock: "ray.actor.ActorHandle[NamedLock]"):
        self._lock: ray.actor.ActorHandle[NamedLock] | None = lock

    def __call__(self) -> None:
        if self._lock is not None:
            ray.kill(self._lock)  # nothing happens if it is gone already
            self._lock = None


def _wait_for_admission(
    request: ResourceRequest, every: float
) -> "ray.actor.ActorHandle[NamedLock]":
    waiting = Waiting(request, every)
    while True:
        if _is_taken():
            waiting.say(f"{request.link} queued: another run is beginning")
        else:
            with _room(request, waiting):
                if lock := _take(_ADMISSION):
                    return lock
        time.sleep(_POLL_SECONDS)


def _is_taken() -> bool:
    try:
        ray.get_actor(_ADMISSION, namespace=_ADMISSION)
    except ValueError:
        return False
    return True


def _take(name: str) -> "ray.actor.ActorHandle[NamedLock] | None":
    """Return what has a name that one job at a time may have, unless another has it."""
    try:
        return (
            ray.remote(NamedLock)
            .options(name=name, namespace=_ADMISSION, **on_driver_node())
            .remote()
        )
    except ValueError:  # the name is taken
        return None


@contextmanager
def _room(request: ResourceRequest, waiting: "Waiting") -> Iterator[None]:
    """Hold all that a link asks for, once the cluster has it; asking is what makes it grow.

    Ray reserves all of it or nothing, so whoever waits here keeps nothing from others.
    """
    bundles = [{"CPU": bundle.cpus, "GPU": bundle.gpus} for bundle in request.bundles]
    group = placement_group([{k: v for k, v in each.items() if v} for each in bundles])
    try:
        while not group.wait(_POLL_SECONDS):
            waiting.look()
        yield
    finally:
        remove_placement_group(group)


class Waiting:
    """Says now and then what a link waits for, and gives up on machines that do not come."""

    def __init__(self, request: ResourceRequest, every: float = 60.0, patience: float = _PATIENCE):
        self._request, self._every, self._patience = request, every, patience
        self._said = float("-inf")
        self._nodes: list[Node] = []
        self._changed = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line, unless one was printed just now."""
        if time.monotonic() - self._said >= self._every:
            self._said = time.monotonic()
            print(text, flush=True)

    def look(self) -> None:
        """Print what the link waits for: what others hold, or what is not there.

        Raises:
            ConfigError: No machine has joined for as long as patience lasts.
        """
        nodes = nodes_now()
        if nodes != self._nodes:
            self._nodes, self._changed = nodes, time.monotonic()
        if holds(nodes, self._request.bundles):
            self._changed = time.monotonic()
            self.say(f"{self._need()}, of which {_free()}; it begins when other runs end")
        elif time.monotonic() - self._changed < self._patience:
            self.say(f"{self._request.link} waits for machines: {self._lack()}")
        else:
            raise ConfigError(
                f"no machine came for {self._patience / 60:.0f} minutes: {self._lack()}; raise the "
                "quota or submit the same command again later, or ask for less"
            )

    def _need(self) -> str:
        wanted = self._request
        return f"{wanted.link} queued: it needs {wanted.cpus:g} CPUs and {wanted.gpus:g} GPUs"

    def _lack(self) -> str:
        most, wanted = nodes_at_most(), self._request
        may = "what its operator allows" if most is None else total(most)
        return (
            f"{wanted.link} needs {wanted.cpus:g} CPUs and {wanted.gpus:g} GPUs, the "
            f"cluster has {total(self._nodes)} and may grow to {may}; if nothing comes, the quota "
            "may be smaller than that: `ray status` on the head names launches that failed"
        )


def _free() -> str:
    free = ray.available_resources()
    return f"{free.get('CPU', 0):g} and {free.get('GPU', 0):g} are free"
