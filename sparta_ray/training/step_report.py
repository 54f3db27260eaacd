"""What a training loop reports: of every batch, and of every epoch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from sparta_ray.data.plan.schedule import ScheduledBatch
from sparta_ray.training.health import Health
from sparta_ray.training.stage_module import Terms
from sparta_ray.training.timing import Part


@dataclass(frozen=True)
class StepReport:
    """What one batch gave and cost, still on the device where it is a tensor.

    Attributes:
        unit: Which batch.
        position: Of the next batch.
        rows: Rows of the batch, on all ranks.
        terms: Its losses.
        gradient_norm: Length of the whole gradient; None in validation.
        seconds: Time since the report before, by what it went into.
        is_finite: Looks whether the losses of this batch and of all before it are finite; waits for
            the device.
    """

    unit: ScheduledBatch
    position: int
    rows: int
    terms: Terms
    gradient_norm: Tensor | None
    seconds: Mapping[Part, float]
    is_finite: Callable[[], bool]


@dataclass(frozen=True)
class EpochReport:
    """What an epoch gave.

    Attributes:
        epoch: From 0.
        lr: Learning rate it was trained with.
        losses: Means by name, prefixed ``train_`` or ``validation_``.
        gradient_norm: Mean length of the gradient.
        health: Of the embeddings of the watched batch, by name.
    """

    epoch: int
    lr: float
    losses: dict[str, float]
    gradient_norm: float
    health: Health
