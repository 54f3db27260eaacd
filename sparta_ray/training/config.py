"""How a run is trained: its stages, precision, checkpoints and share of a cluster."""

from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass
from torch import Tensor

from sparta_ray.base.config import STRICT
from sparta_ray.base.grids import area_weights
from sparta_ray.training.health import HealthConfig
from sparta_ray.training.plateau import PlateauConfig
from sparta_ray.training.precision import Precision
from sparta_ray.training.stages import PUBLISHED_STAGES, ContrastiveConfig, StageConfig, model_kind

WorkerCount = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainingConfig:
    """Stages and what they share.

    Attributes:
        stages: The stages in the order they run; stages of one model must be adjacent.
        steps_per_epoch: Training batches per epoch, in every stage; None visits every anchor once,
            as published. A run without negatives needs a third of the steps for that, so give runs
            that are compared the same number: steps, epochs, learning-rate schedule and α are then
            equal.
        contrastive: The contrastive loss and the weights of its terms.
        area_weights: Whether reconstruction losses weigh cells by their area; as published, a cell
            at a pole counts as much as one at the equator.
        plateau: Learning-rate schedule of every stage.
        precision: ``bfloat16`` runs the networks under autocast, with losses in float32; ``auto``
            does so where the device has instructions for it, and uses float32 elsewhere.
            ``float64`` is slow, and serves to show that two runs compute the same.
        compile: Whether to compile encoder and decoder with ``torch.compile``; losses agree up to
            rounding.
        health: Thresholds at which embeddings count as collapsed.
        checkpoint_every_epochs: Epochs between checkpoints; every stage also ends with one
            [epochs].
        checkpoint_every_steps: Batches between additional checkpoints, for long epochs; None for
            none [batches].
        keep_checkpoints: Number of newest checkpoints to keep; each also holds its stage's best
            weights.
        keep: Which weights are a stage's result: the ``last``, as published, or the ``best`` by
            validation loss.
        report_seconds: Shortest time between two progress lines, which are also recorded; 0 reports
            every batch [s].
        stall_seconds: If no rank finishes a batch for this long, the run ends with an error that
            names the rank and what it was doing [s].
    """

    stages: tuple[StageConfig, ...] = PUBLISHED_STAGES
    steps_per_epoch: int | None = Field(default=None, ge=1)
    contrastive: ContrastiveConfig = Field(default_factory=ContrastiveConfig)
    area_weights: bool = False
    plateau: PlateauConfig = Field(default_factory=PlateauConfig)
    precision: Precision | Literal["auto"] = "float32"
    compile: bool = False
    health: HealthConfig = Field(default_factory=HealthConfig)
    checkpoint_every_epochs: int = Field(default=1, ge=1)
    checkpoint_every_steps: int | None = Field(default=None, ge=1)
    keep_checkpoints: int = Field(default=2, ge=1)
    keep: Literal["last", "best"] = "last"
    report_seconds: float = Field(default=3.0, ge=0)
    stall_seconds: float = Field(default=900.0, gt=0)

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
        num_workers: Number of training processes; each takes its share of every batch's rows. With
            a pair [fewest, most] the run goes on with fewer when a node is lost, and with more when
            one joins.
        use_gpu: Whether each worker has one GPU, with NCCL; otherwise workers use CPUs, with gloo.
        cpus_per_worker: CPUs reserved for each worker.
        threads_per_worker: Threads of torch in each worker; None for `cpus_per_worker`.
        builders_per_worker: Number of actors, of one CPU each, that build batches for each worker.
            With a pair in `num_workers` they run on the worker's own node.
        max_failures: How often a failed group of workers is restarted from its last checkpoint.
        object_store_gb: Shared memory of a Ray cluster that is started for this run alone [GiB].
        resize_seconds: Time between two checks for nodes that have joined [s].
    """

    num_workers: WorkerCount | tuple[WorkerCount, WorkerCount] = 1
    use_gpu: bool = False
    cpus_per_worker: float = Field(default=1, gt=0)
    threads_per_worker: int | None = Field(default=None, ge=1)
    builders_per_worker: int = Field(default=1, ge=1)
    max_failures: int = Field(default=3, ge=0)
    object_store_gb: float = Field(default=1.0, ge=0.1, le=65_536)
    resize_seconds: float = Field(default=60.0, ge=1)

    @field_validator("num_workers")
    @classmethod
    def _check_range(cls, workers: int | tuple[int, int]) -> int | tuple[int, int]:
        if isinstance(workers, tuple) and workers[0] > workers[1]:
            raise ValueError(f"{list(workers)}: give the fewest workers first, then the most")
        return workers

    @property
    def elastic(self) -> bool:
        """Whether the number of workers may change while the run goes on."""
        return isinstance(self.num_workers, tuple)

    @property
    def fewest_workers(self) -> int:
        """Workers without which the run does not begin."""
        return self.num_workers[0] if isinstance(self.num_workers, tuple) else self.num_workers

    @property
    def most_workers(self) -> int:
        """Workers that the run never exceeds."""
        return self.num_workers[1] if isinstance(self.num_workers, tuple) else self.num_workers

    @property
    def cpus_with_builders(self) -> float:
        """CPUs of one worker and of its builders."""
        return self.cpus_per_worker + self.builders_per_worker

    @property
    def cpus(self) -> float:
        """CPUs that training and its data need at the same time, with the fewest workers."""
        return self.fewest_workers * self.cpus_with_builders
