"""Progress of any process of the cluster, printed by the one that started the run."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray
from ray.exceptions import ActorDiedError

from sparta_ray.base.progress import ProgressLine
from sparta_ray.on_ray.message_board import MessageBoard, open_topic


class Show:
    """Sends progress from any process of the cluster to the one that started the run."""

    def __init__(
        self,
        board: "ray.actor.ActorHandle[MessageBoard]",
        topic: str,
        within: str = "",
        begun: Callable[[], None] = lambda: None,
    ):
        """Show under a topic; lines are labelled as `within` something, the first calls `begun`."""
        self._board, self._topic, self._within, self._begun = board, topic, within, begun
        self._called = False

    def __call__(self, label: str, done: int, total: int, text: str) -> None:
        """Show how far an activity has come; does not wait."""
        if not self._called:
            self._called = True
            self._begun()
        self._board.append.remote(self._topic, (f"{self._within}{label}", done, total, text))

    def within(self, what: str, begun: Callable[[], None] = lambda: None) -> "Show":
        """Return the same for a part, whose first line calls `begun` where it is shown."""
        return Show(self._board, self._topic, f"{what} ", begun)


@contextmanager
def print_progress(begun: Callable[[], None] = lambda: None) -> Iterator[Show]:
    """Print here, as they come, the progress lines that workers show; the first calls `begun`."""
    board, topic = open_topic()
    over = threading.Event()
    arguments = (board, topic, over, begun)
    printer = threading.Thread(target=_print_lines, args=arguments, daemon=True)
    printer.start()
    try:
        yield Show(board, topic)
    finally:
        over.set()
        printer.join()


def _print_lines(
    board: "ray.actor.ActorHandle[MessageBoard]",
    topic: str,
    over: threading.Event,
    begun: Callable[[], None],
) -> None:
    lines: dict[str, ProgressLine] = {}
    last_round = False
    while not last_round:
        last_round = over.wait(timeout=0.5)
        try:
            lines_shown = ray.get(board.take_all.remote(topic))
        except ActorDiedError as error:
            _end_if_raylet_is_gone(error)
            raise
        for label, done, total, text in lines_shown:
            if not lines:
                begun()
            line = lines.setdefault(label, ProgressLine(label, every=0.0))
            line.show(done, total, text)


def _end_if_raylet_is_gone(error: ActorDiedError) -> None:
    """End this process with the cause in words if Ray on this machine has ended.

    The board lives as long as this process and its raylet. Ray ends the process too, at about the
    same time, but from within and with nothing but lines of its own.
    """
    if "owner has died" in str(error):
        print(
            "\nerror: Ray on this machine has ended (its raylet was killed or crashed); the same "
            "command continues from what was saved",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)
