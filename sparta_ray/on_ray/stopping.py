"""SIGTERM, as of a job that is stopped or a machine that is taken away, ends training gently."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from sparta_ray.on_ray.message_board import MessageBoard, open_topic


class StopRequest:
    """A wish that training stop, which any process of the cluster may look at."""

    def __init__(self, board: "ray.actor.ActorHandle[MessageBoard]", topic: str):
        self._board, self._topic = board, topic
        self._answer: ray.ObjectRef[None] | None = None

    def is_set(self) -> bool:
        """Return whether the wish has come; does not wait."""
        if self._answer is None:
            self._answer = self._board.wait_for_flag.remote(self._topic)
        return bool(ray.wait([self._answer], timeout=0)[0])


@contextmanager
def stop_on_terminate() -> Iterator[StopRequest]:
    """Turn the first SIGTERM into a wish to stop; a second one does what it did before."""
    board, topic = open_topic()
    before = signal.getsignal(signal.SIGTERM)

    def express(*_: object) -> None:
        signal.signal(signal.SIGTERM, before)
        board.raise_flag.remote(topic)

    signal.signal(signal.SIGTERM, express)
    try:
        yield StopRequest(board, topic)
    finally:
        signal.signal(signal.SIGTERM, before)
