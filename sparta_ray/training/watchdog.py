"""A run that makes no step ends with an error, instead of hanging: who watches, and how.

Every rank sends its pulse to an actor beside the driver. The driver looks at it, asks processes
that it suspects, and interrupts its own `fit()`.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError

from sparta_ray.capacity import beside_driver
from sparta_ray.training.stall import Pulse, Sign, describe_stall

_PATIENCE = 5.0
"""Seconds in which a healthy process answers."""

_UNTIL_FORCED = 60.0
"""Seconds in which an interrupted `fit()` should end."""


class Ward:
    """What ranks send their pulse to; the handle that they are given."""

    def __init__(self, actor: "ray.actor.ActorHandle[_Pulses]", every: float):
        self._actor, self._every = actor, every

    @contextmanager
    def beating(self, pulse: Callable[[], Pulse]) -> Iterator[None]:
        """Send this process's pulse every few seconds while the block runs."""
        over, me = threading.Event(), ray.get_runtime_context().current_actor

        def beat() -> None:
            while True:
                self._actor.beat.remote(pulse(), me)
                if over.wait(self._every):
                    return

        thread = threading.Thread(target=beat, name="pulse", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


class Watch:
    """The driver's side.

    Attributes:
        verdict: Why the run was interrupted; None if it was not.
        ward: For the ranks.
    """

    def __init__(self, limit: float):
        """Interrupt a run whose ranks finish no batch for `limit` seconds."""
        self.verdict: str | None = None
        self._limit, self._every = limit, min(5.0, limit / 4)
        self._pulses = ray.remote(_Pulses).options(**beside_driver()).remote()
        self.ward = Ward(self._pulses, self._every)
        self._over = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch while the block runs, which is `fit()` in the main thread."""
        thread = threading.Thread(target=self._look, name="watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _look(self) -> None:
        while not self._over.wait(self._every):
            seen = ray.get(self._pulses.seen.remote())
            if not seen or min(sign.still for sign, _ in seen) < self._limit:
                continue
            signs = [replace(sign, answers=_answers(actor)) for sign, actor in seen]
            if any(sign.answers is None for sign in signs):
                continue  # a worker is gone, and Train is about to begin again without it
            self.verdict = describe_stall(signs, self._limit)
            self._interrupt()
            return

    def _interrupt(self) -> None:
        """End `fit()` as Ctrl-C would; twice more makes Train give up at once."""
        os.kill(os.getpid(), signal.SIGINT)
        if not self._over.wait(_UNTIL_FORCED):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)


def _answers(actor: Any) -> bool | None:
    """Return whether a worker's process answers, or None if it is dead."""
    try:
        ray.get(actor.__ray_ready__.remote(), timeout=_PATIENCE)
    except GetTimeoutError:
        return False
    except RayError:
        return None
    return True


class _Pulses:
    """The last pulse of every rank, and since when it has not moved."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[Pulse, float, float, Any]] = {}

    def beat(self, pulse: Pulse, worker: Any) -> None:
        now, moved = time.monotonic(), time.monotonic()
        if pulse.rank in self._last:
            before, _, since, _ = self._last[pulse.rank]
            if replace(pulse, part=before.part) == before:
                moved = since
        self._last[pulse.rank] = (pulse, now, moved, worker)
        self._last = {rank: last for rank, last in self._last.items() if rank < pulse.ranks}

    def seen(self) -> list[tuple[Sign, Any]]:
        now = time.monotonic()
        return [
            (Sign(pulse, now - heard, now - moved), worker)
            for _, (pulse, heard, moved, worker) in sorted(self._last.items())
        ]
