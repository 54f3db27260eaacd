"""Signals that ask a job to end: training makes a checkpoint first.

SIGTERM comes when a job is stopped or its machine is taken away, SIGHUP when its terminal closes.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from sparta_ray.on_ray.message_board import MessageBoard, open_topic


class StopRequest:
    """A request that training stop, which any process of the cluster may look at."""

    def __init__(self, board: "ray.actor.ActorHandle[MessageBoard]", topic: str):
        self._board, self._topic = board, topic
        self._answer: ray.ObjectRef[None] | None = None
        self._made_here = False

    def make(self) -> None:
        """Make the request, for all processes that look."""
        self._made_here = True
        self._board.raise_flag.remote(self._topic)

    def is_set(self) -> bool:
        """Return whether the request was made; does not wait.

        The process that made it knows at once, others within moments.
        """
        if self._made_here:
            return True
        if self._answer is None:
            self._answer = self._board.wait_for_flag.remote(self._topic)
        return bool(ray.wait([self._answer], timeout=0)[0])


def ending_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that ask this process to end; one that is ignored, as by nohup, is not."""
    asking = (signal.SIGTERM, signal.SIGHUP)
    return tuple(number for number in asking if signal.getsignal(number) != signal.SIG_IGN)


@contextmanager
def stop_on_terminate() -> Iterator[StopRequest]:
    """Turn the first such signal into a request to stop; a second one does what it did before."""
    board, topic = open_topic()
    request = StopRequest(board, topic)
    before = {number: signal.getsignal(number) for number in ending_signals()}

    def give_back(*_: object) -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(*_: object) -> None:
        give_back()
        request.make()

    for number in before:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        give_back()
