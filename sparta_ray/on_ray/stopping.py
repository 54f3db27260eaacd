"""SIGTERM, as of a job that is stopped or a machine that is taken away, ends training gently."""

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


@contextmanager
def stop_on_terminate() -> Iterator[StopRequest]:
    """Turn the first SIGTERM into a request to stop; a second one does what it did before."""
    board, topic = open_topic()
    request, before = StopRequest(board, topic), signal.getsignal(signal.SIGTERM)

    def ask(*_: object) -> None:
        signal.signal(signal.SIGTERM, before)
        request.make()

    signal.signal(signal.SIGTERM, ask)
    try:
        yield request
    finally:
        signal.signal(signal.SIGTERM, before)
