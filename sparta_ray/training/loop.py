"""The training loop of one stage: batches in, weights changed, an epoch reported, and again."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from sparta_ray.base.seeding import derive_seed
from sparta_ray.data.batches.compact import CompactBatch
from sparta_ray.data.batches.expand import Views, expand, to_device
from sparta_ray.data.batches.view_operator import ViewOperator
from sparta_ray.data.plan.schedule import Schedule, ScheduledBatch
from sparta_ray.training.accumulate import accumulate
from sparta_ray.training.health import Health, measure_health
from sparta_ray.training.metrics import RowMeans
from sparta_ray.training.plateau import PlateauConfig, plateau_schedule
from sparta_ray.training.precision import Precision
from sparta_ray.training.prefetch import Prefetcher
from sparta_ray.training.stage_module import StageModule, Terms
from sparta_ray.training.timing import Part, StepClock


class NonFiniteError(FloatingPointError):
    """A loss or gradient is not finite; the weights are still those that gave it.

    Attributes:
        batch: The compact batch that it came of, this rank's rows.
    """

    def __init__(self, message: str, batch: CompactBatch):
        super().__init__(message)
        self.batch = batch


IsLate = Callable[[float], bool]
"""Waits for the next batch, so many seconds at most, and returns whether it is still to come."""


def no_means() -> dict[str, RowMeans]:
    """Return the means of an epoch before its first batch."""
    return {"train": RowMeans(), "validation": RowMeans(), "gradient": RowMeans()}


@dataclass(frozen=True)
class Best:
    """The weights of a stage's best epoch so far.

    Attributes:
        epoch: From 0.
        loss: Its mean validation loss.
        weights: State of the model after it, on the CPU.
    """

    epoch: int
    loss: float
    weights: dict[str, Tensor]


@dataclass
class StageState:
    """All that changes while a stage runs, and so all that a checkpoint of it holds.

    Attributes:
        module: The model, with the stage's loss.
        optimiser: Of the parameters that the stage trains.
        scheduler: Of its learning rate.
        position: Of the next batch in the schedule.
        means: Of the losses of the epoch so far, and of the gradient's norm.
        best: Weights of the epoch with the least validation loss; None before the first.
    """

    module: StageModule
    optimiser: Optimizer
    scheduler: ReduceLROnPlateau
    position: int = 0
    means: dict[str, RowMeans] = field(default_factory=no_means)
    best: Best | None = None

    @classmethod
    def start(cls, module: StageModule, lr: float, plateau: PlateauConfig) -> "StageState":
        """Return the state before the first step, with a new optimiser."""
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        optimiser = Adam(trained, lr=lr)
        return cls(module, optimiser, plateau_schedule(optimiser, plateau))

    @property
    def lr(self) -> float:
        """The current learning rate."""
        return float(self.optimiser.param_groups[0]["lr"])

    def note_best(self, epoch: int, loss: float) -> None:
        """Keep the present weights if no epoch before had so small a validation loss."""
        if self.best is None or loss < self.best.loss:
            weights = self.module.model.state_dict().items()
            # Clones, for on a CPU `detach` and `cpu` would share memory with what goes on changing.
            self.best = Best(epoch, loss, {name: w.detach().cpu().clone() for name, w in weights})


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
    """

    unit: ScheduledBatch
    position: int
    rows: int
    terms: Terms
    gradient_norm: Tensor | None
    seconds: Mapping[Part, float]


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
            NonFiniteError: On every rank alike.
        """
        crop = self.operator.crop_x
        with Prefetcher(batches, crop.device, crop.dtype) as prefetcher:
            self._run(state, forward, prefetcher)

    def _run(self, state: StageState, forward: nn.Module, batches: Prefetcher) -> None:
        def is_late(seconds: float) -> bool:
            self.clock.lap("report")
            late = batches.is_late(seconds)
            self.clock.lap("wait", then="wait" if late else "report")
            return late

        for batch, arrive in batches:
            self.clock.lap("wait")
            unit = self.schedule.batch_at(state.position)
            assert (batch["position"] == state.position).all(), "a batch out of order"
            rows = int(batch["global_rows"][0])
            views = expand(arrive(), self.operator)
            self.clock.lap("expand")
            terms, gradient_norm = self._step(state, forward, unit, batch, views)
            state.means[unit.split].add(terms, rows)
            if gradient_norm is not None:
                state.means["gradient"].add({"norm": gradient_norm}, rows)
            state.position += 1
            seconds = self.clock.take()
            self.on_step(StepReport(unit, state.position, rows, terms, gradient_norm, seconds))
            if unit.split == "validation" and unit.ends_split:
                self._end_epoch(state, unit.epoch)
            stop = self.after_step(state, is_late)
            self.clock.lap("report")
            if stop:
                return

    def _step(
        self,
        state: StageState,
        forward: nn.Module,
        unit: ScheduledBatch,
        batch: CompactBatch,
        views: Views,
    ) -> tuple[Terms, Tensor | None]:
        """Train or validate on one batch; return its losses and the norm of its gradient."""
        training = unit.split == "train"
        forward.train(training)
        state.optimiser.zero_grad(set_to_none=True)
        rows, parts = int(batch["global_rows"][0]), state.module.stage.accumulate

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
        self._check_finite(state, unit, batch, terms["loss"], gradient_norm)
        self.clock.lap("backward")
        if training:
            state.optimiser.step()
        self.clock.lap("optimiser")
        return {name: value.detach() for name, value in terms.items()}, gradient_norm

    def _check_finite(
        self,
        state: StageState,
        unit: ScheduledBatch,
        batch: CompactBatch,
        loss: Tensor,
        gradient_norm: Tensor | None,
    ) -> None:
        checked = {"loss": loss}
        if gradient_norm is not None:
            checked["gradient norm"] = gradient_norm
        values = torch.stack([value.detach() for value in checked.values()])
        if not values.isfinite().all():
            name, value = next(
                (n, v) for n, v in zip(checked, values.tolist(), strict=True) if not isfinite(v)
            )
            raise NonFiniteError(
                f"the {name} is {value} at step {state.position} ({unit.split}, epoch "
                f"{unit.epoch}) of stage {state.module.stage.kind}: lower its lr, or train in "
                "float32 if this was bfloat16",
                batch,
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


def batch_losses(
    forward: nn.Module,
    operator: ViewOperator,
    batch: CompactBatch,
    epoch: int,
    seed: int,
    precision: Precision,
) -> Terms:
    """Return the losses of a compact batch.

    Args:
        forward: A stage's module, in training or eval mode.
        operator: Expands fields into views, on the training device.
        batch: This rank's rows.
        epoch: From 0.
        seed: Of dropout, the same on every rank.
        precision: ``bfloat16`` for autocast.
    """
    views = batch_views(batch, operator)
    return seeded_losses(forward, seed, precision, views, epoch, int(batch["global_rows"][0]))


def batch_views(batch: CompactBatch, operator: ViewOperator) -> Views:
    """Return the views of a compact batch, on the operator's device and in its number format."""
    return expand(to_device(batch, operator.crop_x.device, operator.crop_x.dtype), operator)


def seeded_losses(
    forward: nn.Module, seed: int, precision: Precision, views: Views, *arguments: object
) -> Terms:
    """Return what a stage's module makes of views, dropout drawn from the seed."""
    torch.manual_seed(seed)
    device = views.fields.day.device
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        terms: Terms = forward(views, *arguments)
    return terms


def norm_of_gradient(module: nn.Module) -> Tensor:
    """Return the length of the gradient of all parameters that have one."""
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    return torch.nn.utils.get_total_norm(gradients)
