"""Ends a run that makes no more steps with an error, instead of letting it hang.

Every rank sends heartbeats to the driver's message board. The driver reads them, pings processes
that seem stuck, and kills Train's controller; its workers end with it and `fit()` fails.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.train.v2._internal.execution.context import get_train_context

from sparta_ray.base.errors import ConfigError
from sparta_ray.on_ray.cluster_size import joins_cluster
from sparta_ray.on_ray.message_board import LastMessage, MessageBoard, open_topic
from sparta_ray.on_ray.queueing import Waiting
from sparta_ray.on_ray.resources import ResourceRequest
from sparta_ray.training.timing import Part

_PATIENCE = 5.0
"""Seconds in which a healthy process answers."""

_GONE = 60.0
"""Seconds without a heartbeat after which it is checked whether the workers are gone."""


Doing = Part | Literal["begin"]
"""What a rank does: a part of a step, or what comes before its first stage."""


@dataclass(frozen=True)
class Heartbeat:
    """Where a rank stands.

    Attributes:
        rank: Its number.
        ranks: How many there are.
        process: Its process, ``number on host``.
        stage: Kind of the stage.
        position: Batches that are done.
        part: What it does now.
    """

    rank: int
    ranks: int
    process: str
    stage: str
    position: int
    part: Doing


@dataclass(frozen=True)
class LastHeartbeat:
    """The last heartbeat of a rank.

    Attributes:
        heartbeat: What it said.
        silent: Seconds since.
        still: Seconds since it last finished a batch, or began.
        answers: Whether its process answers when it is asked; None if it is gone.
    """

    heartbeat: Heartbeat
    silent: float
    still: float
    answers: bool | None = True


def describe_stall(heartbeats: Sequence[LastHeartbeat], limit: float) -> str:
    """Return one message that names the ranks that hold up the run, and where every rank is.

    Args:
        heartbeats: The last of each rank.
        limit: Seconds without a finished batch that count as a stall.
    """
    lines = [_line(last) for last in heartbeats]
    return (
        f"no rank finished a batch for {min(last.still for last in heartbeats):.0f} s "
        f"(training.stall_seconds {limit:g}): {_blame(heartbeats)}\n  "
        + "\n  ".join(lines)
        + "\nthe same command continues from the last checkpoint"
    )


def _blame(heartbeats: Sequence[LastHeartbeat]) -> str:
    """Name the ranks that the others wait for."""
    silent = [last.heartbeat.rank for last in heartbeats if not last.answers]
    if silent:
        return f"{_ranks(silent)} stopped, or cannot be reached"
    waiting = [last.heartbeat.rank for last in heartbeats if last.heartbeat.part == "wait"]
    if waiting:
        return f"the builders of {_ranks(waiting)} deliver no batch"
    behind = min(last.heartbeat.position for last in heartbeats)
    there = [last.heartbeat.rank for last in heartbeats if last.heartbeat.position == behind]
    return f"{_ranks(there)} is behind"


def _ranks(ranks: Sequence[int]) -> str:
    return f"rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))}"


def _line(last: LastHeartbeat) -> str:
    heartbeat = last.heartbeat
    doing = _DOING[heartbeat.part] if last.answers else f"is silent for {last.silent:.0f} s"
    place = f"step {heartbeat.position} of {heartbeat.stage}, " if heartbeat.stage else ""
    return f"rank {heartbeat.rank} (process {heartbeat.process}): {place}{doing}"


class HeartbeatSender:
    """Sends a rank's heartbeats to the driver's board; the handle that ranks are given."""

    def __init__(self, board: "ray.actor.ActorHandle[MessageBoard]", topic: str, every: float):
        self._board, self._topic, self._every = board, topic, every

    @contextmanager
    def sending(self, heartbeat: Callable[[], Heartbeat]) -> Iterator[None]:
        """Send this process's heartbeat every few seconds while the block runs."""
        over, me = threading.Event(), ray.get_runtime_context().current_actor
        sender = (me, get_train_context().controller_actor)

        def beat() -> None:
            while True:
                last = heartbeat()
                mark = asdict(last) | {"part": None}
                self._board.post.remote(self._topic, last.rank, asdict(last), mark, sender)
                if over.wait(self._every):
                    return

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


class Watchdog:
    """The driver's side.

    Attributes:
        verdict: Why the run was ended; None if it was not.
        sender: What ranks send their heartbeats with.
    """

    def __init__(self, limit: float, request: ResourceRequest):
        """End a run whose ranks finish no batch for `limit` seconds, or that cannot begin again.

        Args:
            limit: Seconds.
            request: What Train waits for when a node is lost.
        """
        self.verdict: str | None = None
        self._limit, self._every = limit, min(5.0, limit / 4)
        self._board, self._topic = open_topic()
        self.sender = HeartbeatSender(self._board, self._topic, self._every)
        self._over, self._request, self._began = threading.Event(), request, time.monotonic()
        self._waiting: Waiting | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch while the block runs, which is `fit()`, in any thread of any process."""
        thread = threading.Thread(target=self._look, name="watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _look(self) -> None:
        while not self._over.wait(self._every):
            messages = _of_last_size(ray.get(self._board.last_messages.remote(self._topic)))
            if not messages:
                self._print_what_start_waits_for()
            elif verdict := self._judge(messages):
                self.verdict = verdict
                _, controller = messages[0].sender
                ray.kill(controller)
                return

    def _judge(self, messages: Sequence[LastMessage]) -> str | None:
        """Return why the run must end, if it must."""
        if joins_cluster() and _all_workers_gone(messages):
            return self._wait_for_machines()
        self._waiting = None
        if min(message.still for message in messages) < self._limit:
            return None
        heartbeats = [
            LastHeartbeat(
                Heartbeat(**message.content),
                message.silent,
                message.still,
                _answers(message.sender[0]),
            )
            for message in messages
        ]
        if any(last.answers is None for last in heartbeats):
            return None  # a worker is gone, and Train is about to begin again without it
        return describe_stall(heartbeats, self._limit)

    def _print_what_start_waits_for(self) -> None:
        """Print from time to time what Train still lacks to begin; it waits for that silently.

        What was free when the run was admitted may be gone, with a node or to another job.
        """
        if not joins_cluster() or time.monotonic() - self._began < _GONE:
            return
        if error := self._wait_for_machines():
            assert self._waiting is not None
            self._waiting.say(error)

    def _wait_for_machines(self) -> str | None:
        """Print what Train needs to restart, now and then; return an error if it never comes."""
        self._waiting = self._waiting or Waiting(self._request)
        try:
            self._waiting.look()
        except ConfigError as error:
            return str(error)
        return None


def _all_workers_gone(messages: Sequence[LastMessage]) -> bool:
    """Return whether no worker is left and none has started since."""
    silent = min(message.silent for message in messages)
    return silent > _GONE and all(_answers(message.sender[0]) is None for message in messages)


def _answers(actor: Any) -> bool | None:
    """Return whether a worker's process answers, or None if it is dead."""
    try:
        ray.get(actor.__ray_ready__.remote(), timeout=_PATIENCE)
    except GetTimeoutError:
        return False
    except RayError:
        return None
    return True


def _of_last_size(messages: Mapping[int, LastMessage]) -> list[LastMessage]:
    """Return the ranks' messages in their order, without ranks from before the run shrank."""
    if not messages:
        return []
    ranks = min(messages.values(), key=lambda message: message.silent).content["ranks"]
    return [message for rank, message in sorted(messages.items()) if rank < ranks]


_DOING: dict[Doing, str] = {
    "begin": "opens its store and its checkpoint, or waits there for other ranks",
    "wait": "waits for its batch (its data queue is empty)",
    "expand": "makes views",
    "forward": "is in the forward pass, or waits there for other ranks",
    "backward": "is in the backward pass, or waits there for other ranks",
    "optimiser": "changes the weights",
    "report": "reports or saves, or waits there for other ranks",
}
