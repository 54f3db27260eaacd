"""A small actor on the driver's node through which processes of the cluster exchange messages.

There is one for each driver, whatever it is used for, since starting a process costs seconds of CPU
time. For the same reason this module imports almost nothing of the project.
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
    """The last message of a process.

    Attributes:
        content: Of the message.
        silent: Seconds since it was received.
        still: Seconds since the process last made progress.
        sender: How to reach the process, in a form that the topic's users agree on.
    """

    content: Any
    silent: float
    still: float
    sender: Any


class MessageBoard:
    """Keeps messages by topic; whoever opens a topic passes its name to those who use it."""

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
        """Release everyone who waits for a topic's flag, now or later."""
        self._flags[topic].set()

    async def wait_for_flag(self, topic: str) -> None:
        """Wait for a topic's flag."""
        await self._flags[topic].wait()

    async def post(self, topic: str, who: int, content: Any, mark: Any, sender: Any) -> None:
        """Keep a process's last message; a new `mark` means that the process made progress."""
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


def on_driver_node() -> dict[str, Any]:
    """Return options of an actor that takes no CPU and survives the loss of a worker node."""
    node = ray.get_runtime_context().get_node_id()
    return {
        "num_cpus": 0,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False),
    }


def open_topic() -> "tuple[ray.actor.ActorHandle[MessageBoard], str]":
    """Return this driver's board, started if need be, and the name of a new topic."""
    context = ray.get_runtime_context()
    return _board_of(context.get_node_id(), context.get_job_id()), uuid.uuid4().hex


@cache
def _board_of(node: str, job: str) -> "ray.actor.ActorHandle[MessageBoard]":
    """Start the board of one driver, identified by its node and job.

    If it is killed, for lack of memory for example, Ray restarts it: pending calls are repeated,
    and ranks soon send their next heartbeats.
    """
    lasting = {"max_restarts": -1, "max_task_retries": -1}
    return ray.remote(MessageBoard).options(**on_driver_node(), **lasting).remote()


class NamedLock:
    """An actor whose name one job has at a time; ends with that job, however it ends."""
