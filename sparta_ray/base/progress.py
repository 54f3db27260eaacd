"""Progress: one plain line every few seconds, or a bar where a person watches a terminal."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

ShowProgress = Callable[[str, int, int, str], None]
"""Shows how far an activity has come: its label, what is done, of how much, and a text."""

_BAR = 24


def clock(seconds: float) -> str:
    """Return a duration as ``1:02:03`` or ``02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


class ProgressLine:
    """Shows how far one activity has come."""

    def __init__(self, label: str, every: float = 3.0, stream: TextIO | None = None):
        """Label the activity; between two lines at least `every` seconds pass."""
        self._label, self._every = label, every
        self._stream = sys.stdout if stream is None else stream
        self._shown = float("-inf")

    def show(self, done: int, total: int, text: str, flush: bool = False) -> None:
        """Show `done` of `total`; the last and every flushed line are always shown."""
        now = time.monotonic()
        if done < total and not flush and now - self._shown < self._every:
            return
        self._shown = now
        line = f"{self._label} {done}/{total} {text}"
        if self._stream.isatty():
            filled = _BAR * done // max(total, 1)
            end = "\n" if done >= total else ""
            self._stream.write(f"\r\x1b[K[{'█' * filled}{'·' * (_BAR - filled)}] {line}{end}")
        else:
            self._stream.write(line + "\n")
        self._stream.flush()
