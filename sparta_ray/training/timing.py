"""Where a step's time goes: waiting for its batch, views, passes, weights and reports.

On a GPU, work is queued and done later; there the parts are measured by its own clock.
"""

import time
from typing import Literal, get_args

import torch

Part = Literal["wait", "expand", "forward", "backward", "optimiser", "report"]
"""In the order of a step. What a rank waits for other ranks' rows counts to the part that asks."""

PARTS: tuple[Part, ...] = get_args(Part)


class StepClock:
    """Splits time without gaps: every lap ends one part and begins the next.

    Attributes:
        part: What goes on now, for whoever looks from outside.
    """

    def __init__(self, device: torch.device):
        """Begin to wait for the first batch."""
        self.part: Part = "wait"
        self._on_gpu = device.type == "cuda"
        self._pending: list[tuple[Part, torch.cuda.Event, torch.cuda.Event]] = []
        self._seconds = dict.fromkeys(PARTS, 0.0)
        self._last = self._mark()

    def lap(self, part: Part, then: Part | None = None) -> None:
        """End a part, which took from the last lap until now, and begin the next or another."""
        now = self._mark()
        if isinstance(now, float):
            assert isinstance(self._last, float)
            self._seconds[part] += now - self._last
        else:
            assert not isinstance(self._last, float)
            self._pending.append((part, self._last, now))
        self._last = now
        self.part = then or PARTS[(PARTS.index(part) + 1) % len(PARTS)]

    def take(self) -> dict[Part, float]:
        """Return the seconds of each part since the last time they were taken.

        What a GPU has not done yet comes with the next; nothing is waited for.
        """
        while self._pending and self._pending[0][2].query():  # type: ignore[no-untyped-call]
            part, begin, end = self._pending.pop(0)
            self._seconds[part] += begin.elapsed_time(end) / 1e3
        taken, self._seconds = self._seconds, dict.fromkeys(PARTS, 0.0)
        return taken

    def _mark(self) -> "float | torch.cuda.Event":
        if not self._on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event
