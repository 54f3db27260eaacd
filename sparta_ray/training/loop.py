"""The training loop of one stage: take a batch, change the weights, report, and again."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from sparta_ray.base.seeding import derive_seed
from sparta_ray.data.batches.compact import CompactBatch
from sparta_ray.data.batches.expand import Views, expand
from sparta_ray.data.batches.view_operator import ViewOperator
from sparta_ray.data.plan.schedule import Schedule, ScheduledBatch
from sparta_ray.training.accumulate import accumulate
from sparta_ray.training.batch_losses import batch_views, norm_of_gradient, seeded_losses
from sparta_ray.training.finite import NonFiniteError, unchanged_unless
from sparta_ray.training.health import measure_health
from sparta_ray.training.precision import Precision
from sparta_ray.training.prefetch import Arrived, Prefetcher
from sparta_ray.training.stage_module import Terms
from sparta_ray.training.state import StageState, no_means
from sparta_ray.training.step_report import EpochReport, StepReport
from sparta_ray.training.timing import StepClock

IsLate = Callable[[float], bool]
"""Waits for the next batch, at most so many seconds, and returns whether it is still to come."""


@dataclass(frozen=True)
class StageLoop:
    """Runs a stage from any position to its end.

    Attributes:
        schedule: Which batch stands where.
        operator: Expands fields into views, on the training device.
        seed: Seed of the stage's dropout.
        precision: ``bfloat16`` for autocast.
        probe_batch: Compact batch whose embeddings are measured after every epoch.
        on_step: Called after every batch.
        on_epoch: Called after every epoch, when the state is worth saving.
        after_step: Called last after every batch; may wait for the next one, may save the state,
            and ends the loop by True.
        clock: Splits the time of steps.
    """

    schedule: Schedule
    operator: ViewOperator
    seed: int
    precision: Precision
    probe_batch: CompactBatch
    on_step: Callable[[StepReport], None]
    on_epoch: Callable[[StageState, EpochReport], None]
    after_step: Callable[[StageState, IsLate], bool] = lambda *_: False
    clock: StepClock = field(default_factory=lambda: StepClock(torch.device("cpu")))

    def run(self, state: StageState, forward: nn.Module, batches: Iterator[CompactBatch]) -> None:
        """Take every batch from the state's position on.

        Args:
            state: Continues where it stands.
            forward: The state's module, or the same wrapped for several ranks.
            batches: See `stream`, starting at the state's position.

        Raises:
            NonFiniteError: A loss or gradient was not finite; raised by all ranks. The state's
                position is that step's again, and its weights are those before it.
        """
        crop = self.operator.crop_x
        with Prefetcher(batches, crop.device, crop.dtype) as prefetcher:
            try:
                self._take_batches(state, forward, prefetcher)
                state.finite.check()
            except NonFiniteError as error:
                state.position = error.position
                where = self._describe(state)
                raise NonFiniteError(error.quantity, error.value, error.position, where) from error

    def _take_batches(self, state: StageState, forward: nn.Module, batches: Prefetcher) -> None:
        def is_late(seconds: float) -> bool:
            self.clock.lap("report")
            late = batches.is_late(seconds)
            self.clock.lap("wait", then="wait" if late else "report")
            return late

        for arrived in batches:
            self.clock.lap("wait")
            unit = self._take(state, forward, arrived)
            if unit.ends_split:
                state.finite.check()
                if unit.split == "validation":
                    self._end_epoch(state, unit.epoch)
            stop = self.after_step(state, is_late)
            self.clock.lap("report")
            if stop:
                return

    def _take(self, state: StageState, forward: nn.Module, arrived: Arrived) -> ScheduledBatch:
        """Train or validate on one batch, and report it. Nothing is read back from the device."""
        batch, arrive = arrived
        unit = self.schedule.batch_at(state.position)
        assert (batch["position"] == state.position).all(), "a batch out of order"
        rows = int(batch["global_rows"][0])
        views = expand(arrive(), self.operator)
        self.clock.lap("expand")
        terms, gradient_norm = self._step(state, forward, unit, rows, views)
        state.means[unit.split].add(terms, rows)
        if gradient_norm is not None:
            state.means["gradient"].add({"norm": gradient_norm}, rows)
        state.position += 1
        self.on_step(
            StepReport(
                unit,
                state.position,
                rows,
                terms,
                gradient_norm,
                self.clock.take(),
                state.finite.is_clean,
            )
        )
        return unit

    def _step(
        self, state: StageState, forward: nn.Module, unit: ScheduledBatch, rows: int, views: Views
    ) -> tuple[Terms, Tensor | None]:
        """Train or validate on one batch; return its losses and the norm of its gradient."""
        training, parts = unit.split == "train", state.module.stage.accumulate
        forward.train(training)
        state.optimiser.zero_grad(set_to_none=True)

        def losses(rows_of: Views, *arguments: object) -> Terms:
            seed = derive_seed(self.seed, "dropout", state.position)
            return seeded_losses(forward, seed, self.precision, rows_of, *arguments)

        with torch.set_grad_enabled(training):
            if training and parts > 1:
                terms = accumulate(losses, forward, views, unit.epoch, rows, parts)
            else:
                terms = losses(views, unit.epoch, rows)
        self.clock.lap("forward")
        if training and parts == 1:
            terms["loss"].backward()  # type: ignore[no-untyped-call]
        gradient_norm = norm_of_gradient(state.module) if training else None
        is_finite = state.finite.note(state.position, terms["loss"], gradient_norm)
        self.clock.lap("backward")
        if training:
            with unchanged_unless(is_finite, state.optimiser):
                state.optimiser.step()
        self.clock.lap("optimiser")
        return {name: value.detach() for name, value in terms.items()}, gradient_norm

    def _describe(self, state: StageState) -> str:
        """Return where the state's position is, and what to do where a step is not finite."""
        unit = self.schedule.batch_at(state.position)
        return (
            f" ({unit.split}, epoch {unit.epoch}) of stage {state.module.stage.kind}: lower its "
            "lr, or train in float32 if this was bfloat16"
        )

    def _end_epoch(self, state: StageState, epoch: int) -> None:
        losses = {
            f"{split}_{name}": value
            for split in ("train", "validation")
            for name, value in state.means[split].result().items()
        }
        gradient_norm = state.means["gradient"].result()["norm"]
        views = batch_views(self.probe_batch, self.operator)
        health = measure_health(state.module.model, views, int(self.probe_batch["global_rows"][0]))
        report = EpochReport(epoch, state.lr, losses, gradient_norm, health)
        state.means = no_means()
        state.scheduler.step(losses["validation_loss"])
        state.note_best(epoch, losses["validation_loss"])
        self.on_epoch(state, report)
