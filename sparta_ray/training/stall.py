"""What a stalled run is recognised by: each rank's last step, what it does, if it answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sparta_ray.training.timing import Part

Doing = Part | Literal["begin"]
"""What a rank does: a part of a step, or what comes before its first stage."""

_DOING: dict[Doing, str] = {
    "begin": "opens its store and its checkpoint, or waits there for other ranks",
    "wait": "waits for its batch (its data queue is empty)",
    "expand": "makes views",
    "forward": "is in the forward pass, or waits there for other ranks",
    "backward": "is in the backward pass, or waits there for other ranks",
    "optimiser": "changes the weights",
    "report": "reports or saves, or waits there for other ranks",
}


@dataclass(frozen=True)
class Heartbeat:
    """Where a rank stands.

    Attributes:
        rank: Its number.
        ranks: How many there are.
        process: Its process, ``number on host``.
        stage: Kind of the stage.
        position: Batches that are done.
        part: What it does now.
    """

    rank: int
    ranks: int
    process: str
    stage: str
    position: int
    part: Doing


@dataclass(frozen=True)
class LastHeartbeat:
    """The last heartbeat of a rank.

    Attributes:
        heartbeat: What it said.
        silent: Seconds since.
        still: Seconds since it last finished a batch, or began.
        answers: Whether its process answers when it is asked; None if it is gone.
    """

    heartbeat: Heartbeat
    silent: float
    still: float
    answers: bool | None = True


def describe_stall(heartbeats: Sequence[LastHeartbeat], limit: float) -> str:
    """Return one message that names who holds the run up, and where every rank stands.

    Args:
        heartbeats: The last of each rank.
        limit: Seconds without a finished batch that count as a stall.
    """
    lines = [_line(last) for last in heartbeats]
    return (
        f"no rank finished a batch for {min(last.still for last in heartbeats):.0f} s "
        f"(training.stall_seconds {limit:g}): {_culprit(heartbeats)}\n  "
        + "\n  ".join(lines)
        + "\nthe same command continues from the last checkpoint"
    )


def _culprit(heartbeats: Sequence[LastHeartbeat]) -> str:
    """Name the ranks that the others wait for."""
    silent = [last.heartbeat.rank for last in heartbeats if not last.answers]
    if silent:
        return f"{_ranks(silent)} stopped, or cannot be reached"
    waiting = [last.heartbeat.rank for last in heartbeats if last.heartbeat.part == "wait"]
    if waiting:
        return f"the builders of {_ranks(waiting)} deliver no batch"
    behind = min(last.heartbeat.position for last in heartbeats)
    there = [last.heartbeat.rank for last in heartbeats if last.heartbeat.position == behind]
    return f"{_ranks(there)} is behind"


def _ranks(ranks: Sequence[int]) -> str:
    return f"rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))}"


def _line(last: LastHeartbeat) -> str:
    heartbeat = last.heartbeat
    doing = _DOING[heartbeat.part] if last.answers else f"is silent for {last.silent:.0f} s"
    place = f"step {heartbeat.position} of {heartbeat.stage}, " if heartbeat.stage else ""
    return f"rank {heartbeat.rank} (process {heartbeat.process}): {place}{doing}"
