"""On SIGTERM, as when a job is stopped, training ends at a step with a checkpoint."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from sparta_ray.on_ray.message_board import MessageBoard, open_topic


class StopRequest:
    """A request to stop training, visible to every process of the cluster."""

    def __init__(self, board: "ray.actor.ActorHandle[MessageBoard]", topic: str):
        self._board, self._topic = board, topic
        self._answer: ray.ObjectRef[None] | None = None

    def is_set(self) -> bool:
        """Return whether training should stop; does not wait."""
        if self._answer is None:
            self._answer = self._board.wait_for_flag.remote(self._topic)
        return bool(ray.wait([self._answer], timeout=0)[0])


@contextmanager
def stop_on_terminate() -> Iterator[StopRequest]:
    """Turn the first SIGTERM into a stop request; a second one is handled as before."""
    board, topic = open_topic()
    before = signal.getsignal(signal.SIGTERM)

    def request_stop(*_: object) -> None:
        signal.signal(signal.SIGTERM, before)
        board.raise_flag.remote(topic)

    signal.signal(signal.SIGTERM, request_stop)
    try:
        yield StopRequest(board, topic)
    finally:
        signal.signal(signal.SIGTERM, before)
