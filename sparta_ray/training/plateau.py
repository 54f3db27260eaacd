"""The published learning-rate schedule: a tenth whenever the validation loss stops improving."""

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from sparta_ray.base.config import STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PlateauConfig:
    """When and by how much to reduce the learning rate.

    Attributes:
        factor: Factor by which the learning rate is multiplied.
        patience: Epochs without improvement before the learning rate is reduced [epochs].
        threshold: Relative decrease of the validation loss that counts as an improvement.
    """

    factor: float = Field(default=0.1, gt=0, lt=1)
    patience: int = Field(default=10, ge=0)
    threshold: float = Field(default=1e-4, ge=0)


def plateau_schedule(optimiser: Optimizer, config: PlateauConfig) -> ReduceLROnPlateau:
    """Return the scheduler to step once an epoch with the validation loss."""
    return ReduceLROnPlateau(
        optimiser,
        factor=config.factor,
        patience=config.patience,
        threshold=config.threshold,
        threshold_mode="rel",
    )
