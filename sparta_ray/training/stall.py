"""What a stalled run is told by: the last step of each rank, what it does, and if it speaks."""

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
class Pulse:
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
class Sign:
    """The last pulse of a rank.

    Attributes:
        pulse: What it said.
        silent: Seconds since.
        still: Seconds since it last finished a batch, or began.
        answers: Whether its process answers when it is asked; None if it is gone.
    """

    pulse: Pulse
    silent: float
    still: float
    answers: bool | None = True


def describe_stall(signs: Sequence[Sign], limit: float) -> str:
    """Return one message that names who holds the run up, and where every rank stands.

    Args:
        signs: Of all ranks.
        limit: Seconds without a finished batch that count as a stall.
    """
    lines = [_line(sign) for sign in signs]
    return (
        f"no rank finished a batch for {min(sign.still for sign in signs):.0f} s "
        f"(training.stall_seconds {limit:g}): {_culprit(signs)}\n  "
        + "\n  ".join(lines)
        + "\nthe same command continues from the last checkpoint"
    )


def _culprit(signs: Sequence[Sign]) -> str:
    """Name the ranks that the others wait for."""
    silent = [sign.pulse.rank for sign in signs if not sign.answers]
    if silent:
        return f"{_ranks(silent)} stopped, or cannot be reached"
    waiting = [sign.pulse.rank for sign in signs if sign.pulse.part == "wait"]
    if waiting:
        return f"the builders of {_ranks(waiting)} deliver no batch"
    last = min(sign.pulse.position for sign in signs)
    return f"{_ranks([s.pulse.rank for s in signs if s.pulse.position == last])} is behind"


def _ranks(ranks: Sequence[int]) -> str:
    return f"rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))}"


def _line(sign: Sign) -> str:
    pulse = sign.pulse
    doing = _DOING[pulse.part] if sign.answers else f"is silent for {sign.silent:.0f} s"
    place = f"step {pulse.position} of {pulse.stage}, " if pulse.stage else ""
    return f"rank {pulse.rank} (process {pulse.process}): {place}{doing}"
