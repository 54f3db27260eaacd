"""SIGTERM, as of a job that is stopped or a machine that is taken away, ends training gently."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from sparta_ray.capacity import beside_driver


class StopWish:
    """A wish that training stop, which any process of the cluster may look at."""

    def __init__(self, wish: "ray.actor.ActorHandle[_Wish]"):
        self._wish = wish
        self._answer: ray.ObjectRef[None] | None = None

    def expressed(self) -> bool:
        """Return whether the wish has come; does not wait."""
        if self._answer is None:
            self._answer = self._wish.awaited.remote()
        return bool(ray.wait([self._answer], timeout=0)[0])


@contextmanager
def stop_on_terminate() -> Iterator[StopWish]:
    """Turn the first SIGTERM into a wish to stop; a second one does what it did before."""
    wish = ray.remote(_Wish).options(**beside_driver()).remote()
    before = signal.getsignal(signal.SIGTERM)

    def express(*_: object) -> None:
        signal.signal(signal.SIGTERM, before)
        wish.express.remote()

    signal.signal(signal.SIGTERM, express)
    try:
        yield StopWish(wish)
    finally:
        signal.signal(signal.SIGTERM, before)


class _Wish:
    """Holds the wish; who awaits it is answered when it comes."""

    def __init__(self) -> None:
        self._came = asyncio.Event()

    async def express(self) -> None:
        self._came.set()

    async def awaited(self) -> None:
        await self._came.wait()
