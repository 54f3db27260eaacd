"""The cause of a failure in a line, from what Ray 2.56 says when it kills a process for memory."""

from functools import partial

from sparta_ray.base.errors import by_rank
from sparta_ray.on_ray.memory_kill import TRAINING, cause_of

KILLED = """A worker health check failed.
1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 192.0.2.2, \
ID: 765da5) was 8.24GB used / 23.54GB limit (0.349890)
OOM kill reason: Memory usage 8794771456B exceeded threshold of 505519776B (2.0% of 25275990016B \
limit)
Considered workers: [
Selected to kill: (Task: job ID=01000000, task name=t, required resources={CPU: 1}, pid=10690, \
actual memory used=0.16GB, worker ID=48630d)
]
Refer to the documentation on how to address the out of memory issue: https://docs.ray.io/debug.html.
"""


def test_a_kill_for_memory_says_how_much_and_what_to_lower():
    assert by_rank({1: RuntimeError(KILLED)}, partial(cause_of, remedy=TRAINING)) == (
        "  rank 1: killed for memory: its machine had 8.24 of 23.54 GB in use, 0.16 GB of it by "
        "what was killed; lower sampling.rows_per_batch, or let a machine have fewer workers "
        "(scaling)"
    )


def test_any_other_failure_is_its_last_line():
    assert cause_of("Traceback\nOSError: disk full\n", TRAINING) == "OSError: disk full"
