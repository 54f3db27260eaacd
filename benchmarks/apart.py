"""Work in a process of its own, with an environment of its own, timed there."""

import os
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from types import TracebackType

import torch
from torch.multiprocessing import get_context

Work = Callable[[], object]


class Apart:
    """Calls, each of which does a piece of work elsewhere and waits for it.

    Attributes:
        seconds: CPU time that all pieces have taken.
    """

    def __init__(self, make: Callable[[], Work], environment: Mapping[str, str]):
        """Start a process with further variables, in which `make` returns the work."""
        self.seconds = 0.0
        context = get_context("spawn")
        self._end, end = context.Pipe()
        self._process = context.Process(target=_serve, args=(end, make), daemon=True)
        saved = dict(os.environ)
        os.environ.update(environment)
        try:
            self._process.start()
        finally:
            os.environ.clear()
            os.environ.update(saved)

    def __call__(self) -> None:
        """Do one piece of work."""
        self._end.send(True)
        self.seconds += self._end.recv()

    def __enter__(self) -> "Apart":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.send(False)
        self._process.join()


def _serve(end: Connection, make: Callable[[], Work]) -> None:
    """Work as often as the other end asks, and send the CPU seconds that it took."""
    torch.set_num_threads(1)
    work = make()
    while end.recv():
        began = time.process_time()
        work()
        end.send(time.process_time() - began)
