"""A small process beside the driver, where processes of the cluster leave messages for each other.

There is one for each driver, whatever is kept in it, since to start a process costs seconds of a
core. For the same reason this module imports next to nothing of the project.
"""

import asyncio
import time
import uuid
from collections import defaultdict
from functools import cache
from typing import Any, NamedTuple

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


class LastMessage(NamedTuple):
    """What a process said last.

    Attributes:
        content: What it was.
        silent: Seconds since.
        still: Seconds since the process got any further.
        sender: How to reach the process; what that is, a topic's users agree on.
    """

    content: Any
    silent: float
    still: float
    sender: Any


class MessageBoard:
    """Keeps messages by topic: whoever opens a topic gives its name to those who shall use it."""

    def __init__(self) -> None:
        self._lists: defaultdict[str, list[Any]] = defaultdict(list)
        self._flags: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._messages: defaultdict[str, dict[int, tuple[Any, Any, float, float, Any]]]
        self._messages = defaultdict(dict)

    async def append(self, topic: str, item: Any) -> None:
        """Add an item to a topic's list."""
        self._lists[topic].append(item)

    async def take_all(self, topic: str) -> list[Any]:
        """Empty a topic's list."""
        return self._lists.pop(topic, [])

    async def raise_flag(self, topic: str) -> None:
        """Answer all who wait for a topic's flag, now or later."""
        self._flags[topic].set()

    async def wait_for_flag(self, topic: str) -> None:
        """Wait for a topic's flag."""
        await self._flags[topic].wait()

    async def post(self, topic: str, who: int, content: Any, mark: Any, sender: Any) -> None:
        """Keep a process's last message; it got further if its mark is another than before."""
        now = time.monotonic()
        _, before, _, since, _ = self._messages[topic].get(who, (None, None, now, now, None))
        self._messages[topic][who] = (content, mark, now, since if mark == before else now, sender)

    async def last_messages(self, topic: str) -> dict[int, LastMessage]:
        """Return everyone's last message."""
        now = time.monotonic()
        return {
            who: LastMessage(content, now - received, now - since, sender)
            for who, (content, _, received, since, sender) in self._messages[topic].items()
        }


def beside_driver() -> dict[str, Any]:
    """Return options of an actor without CPUs that no lost worker node takes with it."""
    node = ray.get_runtime_context().get_node_id()
    return {
        "num_cpus": 0,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False),
    }


def open_topic() -> "tuple[ray.actor.ActorHandle[MessageBoard], str]":
    """Return this driver's board, begun if it has none, and the name of a new topic."""
    context = ray.get_runtime_context()
    return _board_of(context.get_node_id(), context.get_job_id()), uuid.uuid4().hex


@cache
def _board_of(node: str, job: str) -> "ray.actor.ActorHandle[MessageBoard]":
    """Begin the board of one driver, known by its node and job.

    Should it be killed, as for want of memory, it begins again: what was asked of it is asked
    again, and ranks soon tell it where they stand.
    """
    lasting = {"max_restarts": -1, "max_task_retries": -1}
    return ray.remote(MessageBoard).options(**beside_driver(), **lasting).remote()


class NamedLock:
    """An actor whose name one job has at a time; ends with that job, however it ends."""
