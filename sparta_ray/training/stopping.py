"""SIGTERM, as of a job that is stopped or a machine that is taken away, ends training gently."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from sparta_ray.desk import Desk, open_drawer


class StopWish:
    """A wish that training stop, which any process of the cluster may look at."""

    def __init__(self, desk: "ray.actor.ActorHandle[Desk]", drawer: str):
        self._desk, self._drawer = desk, drawer
        self._answer: ray.ObjectRef[None] | None = None

    def expressed(self) -> bool:
        """Return whether the wish has come; does not wait."""
        if self._answer is None:
            self._answer = self._desk.flag.remote(self._drawer)
        return bool(ray.wait([self._answer], timeout=0)[0])


@contextmanager
def stop_on_terminate() -> Iterator[StopWish]:
    """Turn the first SIGTERM into a wish to stop; a second one does what it did before."""
    desk, drawer = open_drawer()
    before = signal.getsignal(signal.SIGTERM)

    def express(*_: object) -> None:
        signal.signal(signal.SIGTERM, before)
        desk.raise_flag.remote(drawer)

    signal.signal(signal.SIGTERM, express)
    try:
        yield StopWish(desk, drawer)
    finally:
        signal.signal(signal.SIGTERM, before)
