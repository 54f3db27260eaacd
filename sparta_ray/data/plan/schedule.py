"""The schedule of a stage: which batch stands at which position, epoch after epoch.

An epoch is its training batches followed by its validation batches. A position is all that a run
must remember to continue.

As published, an epoch trains on every batch of one plan, which visits every anchor once. An epoch
of another length goes on where the one before stopped, from plan to plan: so runs whose plans
differ in length can take the same number of steps in the same number of epochs.
"""

from dataclasses import dataclass

from sparta_ray.data.plan.splits import SplitName


@dataclass(frozen=True)
class ScheduledBatch:
    """One batch.

    Attributes:
        split: Which days it is of.
        epoch: From 0.
        plan: Number of the plan that it is cut from, from 0.
        step: Which batch of that plan.
        ends_split: Whether it is the last of its split in this epoch.
    """

    split: SplitName
    epoch: int
    plan: int
    step: int
    ends_split: bool


@dataclass(frozen=True)
class Schedule:
    """Positions of a stage.

    Attributes:
        epochs: Number of epochs.
        train_steps: Training batches in each.
        validation_steps: Validation batches after them.
        plan_steps: Batches of a plan of the training days; None for `train_steps`.
    """

    epochs: int
    train_steps: int
    validation_steps: int
    plan_steps: int | None = None

    @property
    def epoch_length(self) -> int:
        """Positions in an epoch."""
        return self.train_steps + self.validation_steps

    def __len__(self) -> int:
        return self.epochs * self.epoch_length

    def batch_at(self, position: int) -> ScheduledBatch:
        """Return the batch at a position from 0 to the schedule's length - 1."""
        assert 0 <= position < len(self)
        epoch, offset = divmod(position, self.epoch_length)
        if offset < self.train_steps:
            taken = epoch * self.train_steps + offset
            plan, step = divmod(taken, self.plan_steps or self.train_steps)
            return ScheduledBatch("train", epoch, plan, step, offset == self.train_steps - 1)
        step = offset - self.train_steps
        return ScheduledBatch("validation", epoch, epoch, step, step == self.validation_steps - 1)
