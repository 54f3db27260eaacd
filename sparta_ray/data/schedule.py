"""The schedule of a stage: which batch stands at which position, epoch after epoch.

An epoch is its training batches followed by its validation batches. A position is all that a run
must remember to continue.
"""

from dataclasses import dataclass

from sparta_ray.data.splits import SplitName


@dataclass(frozen=True)
class Unit:
    """One batch: `step` counts within the split's part of the epoch."""

    split: SplitName
    epoch: int
    step: int
    ends_split: bool


@dataclass(frozen=True)
class Schedule:
    """Positions of a stage.

    Attributes:
        epochs: Number of epochs.
        train_steps: Training batches in each.
        validation_steps: Validation batches after them.
    """

    epochs: int
    train_steps: int
    validation_steps: int

    @property
    def epoch_length(self) -> int:
        """Positions in an epoch."""
        return self.train_steps + self.validation_steps

    def __len__(self) -> int:
        return self.epochs * self.epoch_length

    def unit_at(self, position: int) -> Unit:
        """Return the batch at a position from 0 to the schedule's length - 1."""
        assert 0 <= position < len(self)
        epoch, offset = divmod(position, self.epoch_length)
        if offset < self.train_steps:
            return Unit("train", epoch, offset, offset == self.train_steps - 1)
        step = offset - self.train_steps
        return Unit("validation", epoch, step, step == self.validation_steps - 1)
