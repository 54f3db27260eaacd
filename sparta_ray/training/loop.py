"""The training loop of one stage: batches in, weights changed, an epoch reported, and again."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from sparta_ray.data.compact import CompactBatch
from sparta_ray.data.expand import expand, to_device
from sparta_ray.data.schedule import Schedule, Unit
from sparta_ray.data.views import ViewOperator
from sparta_ray.seeding import derive_seed
from sparta_ray.training.distributed import average_over_ranks
from sparta_ray.training.metrics import RowMeans
from sparta_ray.training.plateau import PlateauConfig, plateau_schedule
from sparta_ray.training.precision import Precision
from sparta_ray.training.stages import StageModule


@dataclass
class StageState:
    """All that changes while a stage runs, and so all that a checkpoint of it holds."""

    module: StageModule
    optimiser: Optimizer
    scheduler: ReduceLROnPlateau
    position: int = 0

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


@dataclass(frozen=True)
class StepReport:
    """What one batch gave and cost: losses still on the device, seconds waited and in all."""

    unit: Unit
    position: int
    rows: int
    terms: dict[str, Tensor]
    wait_seconds: float
    seconds: float


@dataclass(frozen=True)
class EpochReport:
    """An epoch's mean losses, by name, prefixed ``train_`` or ``validation_``."""

    epoch: int
    lr: float
    losses: dict[str, float]


@dataclass(frozen=True)
class StageLoop:
    """Runs a stage from any position to its end.

    Attributes:
        schedule: Which batch stands where.
        operator: Expands fields into views, on the training device.
        seed: Seed of the stage's dropout.
        rank: This worker's rank.
        ranks: Number of ranks.
        precision: ``bfloat16`` for autocast.
        on_step: Called after every batch.
        on_epoch: Called after every epoch, when the state is worth saving.
    """

    schedule: Schedule
    operator: ViewOperator
    seed: int
    rank: int
    ranks: int
    precision: Precision
    on_step: Callable[[StepReport], None]
    on_epoch: Callable[[StageState, EpochReport], None]

    def run(self, state: StageState, forward: nn.Module, batches: Iterator[CompactBatch]) -> None:
        """Take every batch from the state's position on.

        Args:
            state: Continues where it stands, at the start of an epoch.
            forward: The state's module, or the same wrapped for several ranks.
            batches: As of `stream`, starting at the state's position.
        """
        means = {"train": RowMeans(), "validation": RowMeans()}
        last = time.perf_counter()
        for batch in batches:
            arrived = time.perf_counter()
            unit = self.schedule.unit_at(state.position)
            assert (batch["position"] == state.position).all(), "a batch out of order"
            rows = int(batch["global_rows"][0])
            terms = self._step(state, forward, unit, batch, rows)
            means[unit.split].add(terms, rows)
            state.position += 1
            now = time.perf_counter()
            self.on_step(StepReport(unit, state.position, rows, terms, arrived - last, now - last))
            last = time.perf_counter()
            if unit.split == "validation" and unit.ends_split:
                self._end_epoch(state, unit.epoch, means)
                means = {"train": RowMeans(), "validation": RowMeans()}
                last = time.perf_counter()

    def _step(
        self, state: StageState, forward: nn.Module, unit: Unit, batch: CompactBatch, rows: int
    ) -> dict[str, Tensor]:
        """Train or validate on one batch and return its losses."""
        training = unit.split == "train"
        torch.manual_seed(derive_seed(self.seed, "dropout", state.position, self.rank))
        device = self.operator.crop_x.device
        views = expand(to_device(batch, device), self.operator)
        share = len(batch["day"]) * self.ranks / rows
        forward.train(training)
        with (
            torch.set_grad_enabled(training),
            torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16"),
        ):
            terms: dict[str, Tensor] = forward(views, unit.epoch, share)
        if training:
            state.optimiser.zero_grad(set_to_none=True)
            terms["loss"].backward()  # type: ignore[no-untyped-call]
            state.optimiser.step()
        return {name: value.detach() for name, value in terms.items()}

    def _end_epoch(self, state: StageState, epoch: int, means: dict[str, RowMeans]) -> None:
        losses = average_over_ranks(
            {
                f"{split}_{name}": value
                for split, parts in means.items()
                for name, value in parts.result().items()
            }
        )
        for name, value in losses.items():
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"{name} is {value} in epoch {epoch} of stage {state.module.stage.kind}: "
                    "lower its lr, or train in float32 if this was bfloat16"
                )
        report = EpochReport(epoch, state.lr, losses)
        state.scheduler.step(losses["validation_loss"])
        self.on_epoch(state, report)
