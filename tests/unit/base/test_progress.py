import io

import pytest

from sparta_ray.base.progress import ProgressLine, clock


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00"), (59.4, "00:59"), (59.6, "01:00"), (3599.7, "1:00:00"), (90_061, "25:01:01")],
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_one_plain_line_each_where_nobody_watches():
    stream = io.StringIO()
    line = ProgressLine("train 1/4", every=0.0, stream=stream)
    line.show(1, 3, "loss 2.31")
    line.show(3, 3, "loss 2.10")
    assert stream.getvalue() == "train 1/4 1/3 loss 2.31\ntrain 1/4 3/3 loss 2.10\n"


def test_seldom_but_first_flushed_and_last_always():
    stream = io.StringIO()
    line = ProgressLine("run", every=1e6, stream=stream)
    for done in range(1, 6):
        line.show(done, 5, "now", flush=done == 3)
    assert stream.getvalue() == "run 1/5 now\nrun 3/5 now\nrun 5/5 now\n"


def test_a_bar_on_a_terminal_ends_its_line_when_done():
    stream = Terminal()
    line = ProgressLine("run", every=0.0, stream=stream)
    line.show(1, 2, "half")
    line.show(2, 2, "done")
    first, last = stream.getvalue().split("\r")[1:]
    assert first == f"\x1b[K[{'█' * 12}{'·' * 12}] run 1/2 half"
    assert last == f"\x1b[K[{'█' * 24}] run 2/2 done\n"


def test_nothing_to_do_is_no_error():
    stream = Terminal()
    ProgressLine("run", stream=stream).show(0, 0, "nothing")
    assert stream.getvalue().endswith("run 0/0 nothing\n")
