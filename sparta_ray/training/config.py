"""How a run is trained: its stages, precision, checkpoints and share of a cluster."""

from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass
from torch import Tensor

from sparta_ray.config import STRICT
from sparta_ray.grids import area_weights
from sparta_ray.training.health import HealthConfig
from sparta_ray.training.plateau import PlateauConfig
from sparta_ray.training.stages import PUBLISHED_STAGES, ContrastiveConfig, StageConfig, model_kind


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainingConfig:
    """Stages and what they share.

    Attributes:
        stages: In the order they run; stages of one model stand together.
        steps_per_epoch: Training batches of an epoch, in every stage; None for one visit to every
            anchor, as published. A run without negatives visits them in a third of the steps: the
            same number for both makes steps, epochs, learning-rate schedule and α equal.
        contrastive: Weights inside the contrastive loss.
        area_weights: Whether reconstruction losses weigh cells by their area; as published, a cell
            at a pole counts like one at the equator.
        plateau: Learning-rate schedule of every stage.
        precision: ``bfloat16`` runs the networks under autocast, losses stay in float32; ``auto``
            takes it where the device has instructions for it.
        health: When the embeddings count as collapsed.
        checkpoint_every_epochs: Epochs between checkpoints; every stage also ends with one.
        checkpoint_every_steps: Batches between further checkpoints, for long epochs; None for none.
        keep_checkpoints: Newest checkpoints to keep.
    """

    stages: tuple[StageConfig, ...] = PUBLISHED_STAGES
    steps_per_epoch: int | None = Field(default=None, ge=1)
    contrastive: ContrastiveConfig = Field(default_factory=ContrastiveConfig)
    area_weights: bool = False
    plateau: PlateauConfig = Field(default_factory=PlateauConfig)
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    health: HealthConfig = Field(default_factory=HealthConfig)
    checkpoint_every_epochs: int = Field(default=1, ge=1)
    checkpoint_every_steps: int | None = Field(default=None, ge=1)
    keep_checkpoints: int = Field(default=2, ge=1)

    @field_validator("stages")
    @classmethod
    def _check_order(cls, stages: tuple[StageConfig, ...]) -> tuple[StageConfig, ...]:
        if not stages:
            raise ValueError("name at least one stage")
        kinds = [model_kind(stage) for stage in stages]
        changes = sum(a != b for a, b in pairwise(kinds))
        names = [stage.kind for stage in stages]
        if len(set(names)) < len(names):
            raise ValueError(f"stages {names}: name each at most once")
        if changes >= len(set(kinds)):
            raise ValueError(f"stages {names}: those of one model must stand together")
        return stages

    def latitude_weights(self, latitude: NDArray[np.float64]) -> Tensor | None:
        """Return each latitude's weight in reconstruction losses, mean 1; None for equal ones."""
        return torch.from_numpy(area_weights(latitude)).float() if self.area_weights else None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ScalingConfig:
    """What a run asks of a cluster.

    Attributes:
        num_workers: Training processes; each takes its share of every batch's rows.
        use_gpu: One GPU for each worker, with NCCL; otherwise CPU, with gloo.
        cpus_per_worker: CPUs reserved for each worker.
        threads_per_worker: Threads of torch in each worker; None for cpus_per_worker.
        builders_per_worker: CPU actors that build batches for each worker.
        max_failures: Times a failed worker group is started again from its last checkpoint.
        object_store_gb: Shared memory of a cluster started for this run alone.
    """

    num_workers: int = Field(default=1, ge=1)
    use_gpu: bool = False
    cpus_per_worker: float = Field(default=1, gt=0)
    threads_per_worker: int | None = Field(default=None, ge=1)
    builders_per_worker: int = Field(default=1, ge=1)
    max_failures: int = Field(default=3, ge=0)
    object_store_gb: float = Field(default=1.0, ge=0.1)

    @property
    def cpus(self) -> float:
        """CPUs that training and its data need at the same time."""
        return self.num_workers * (self.cpus_per_worker + self.builders_per_worker)
