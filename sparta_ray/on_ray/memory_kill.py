"""What Ray says of a process that it killed for memory, in a line for the user."""

import re

from sparta_ray.base.errors import last_line

TRAINING = "lower sampling.rows_per_batch, or let a machine have fewer workers (scaling)"
TRIALS = "lower downstream.max_concurrent, or raise downstream.cpus_per_trial"
SHARDS = "lower data.memory_mb, or give Ray fewer CPUs, so that fewer shards are made at a time"

_NODE = re.compile(
    r"killed due to the node running low on memory.*was ([\d.]+)GB used / ([\d.]+)GB limit"
)
_KILLED = re.compile(r"Selected to kill: .*actual memory used=([\d.]+)GB")


def cause_of(text: str, remedy: str) -> str:
    """Return the cause of a failure in a line.

    Args:
        text: The error that Ray passed on.
        remedy: What would help if it is memory.

    Returns:
        How much memory was used, by whom, and the remedy, where Ray killed for memory; otherwise
        the end of the error.
    """
    node = _NODE.search(text)
    if node is None:
        return last_line(text)
    used, limit = node.groups()
    held = " and ".join(f"{size} GB" for size in _KILLED.findall(text))
    of_it = f", {held} of it by what was killed" if held else ""
    return f"killed for memory: its machine had {used} of {limit} GB in use{of_it}; {remedy}"
