"""The state of a stage in training: all that changes while it runs."""

from dataclasses import dataclass, field

from torch import Tensor
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from sparta_ray.training.finite import FiniteWatch
from sparta_ray.training.metrics import RowMeans
from sparta_ray.training.plateau import PlateauConfig, plateau_schedule
from sparta_ray.training.stage_module import StageModule


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
    """All that changes while a stage runs. A checkpoint holds all of it but `finite`.

    Attributes:
        module: The model, with the stage's loss.
        optimiser: Of the parameters that the stage trains.
        scheduler: Of its learning rate.
        position: Of the next batch in the schedule.
        means: Of the losses of the epoch so far, and of the gradient's norm.
        best: Weights of the epoch with the least validation loss; None before the first.
        finite: Whether all losses and gradients so far were finite.
    """

    module: StageModule
    optimiser: Optimizer
    scheduler: ReduceLROnPlateau
    finite: FiniteWatch
    position: int = 0
    means: dict[str, RowMeans] = field(default_factory=no_means)
    best: Best | None = None

    @classmethod
    def start(cls, module: StageModule, lr: float, plateau: PlateauConfig) -> "StageState":
        """Return the state before the first step, with a new optimiser."""
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        optimiser = Adam(trained, lr=lr)
        watch = FiniteWatch(trained[0].device)
        return cls(module, optimiser, plateau_schedule(optimiser, plateau), watch)

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
