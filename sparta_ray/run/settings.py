"""A run: everything one YAML file decides, and whether it fits its data before anything starts."""

import re
from dataclasses import replace

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT
from sparta_ray.base.paths import output_path
from sparta_ray.data.batches.compact import BatchConfig
from sparta_ray.data.plan.masking import MaskConfig
from sparta_ray.data.plan.sampling import SamplingConfig, batches_per_epoch
from sparta_ray.data.plan.schedule import Schedule
from sparta_ray.data.plan.splits import Split, SplitName, split_days
from sparta_ray.data.plan.views import ViewConfig
from sparta_ray.data.preparation.recipe import DataConfig
from sparta_ray.downstream.config import DownstreamConfig
from sparta_ray.metrics.config import EvaluationConfig
from sparta_ray.models.sparta import ModelConfig
from sparta_ray.training.config import ScalingConfig, TrainingConfig
from sparta_ray.training.stages import ModelKind, StageConfig, model_kind


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Run:
    """One run of the method; every job reads the same file and does its part.

    Attributes:
        name: Names the run folder.
        folder: Where run folders lie: a path or fsspec URL.
        seed: Base of every random draw.
        data: Source, store, variables and split.
        sampling: Anchors, neighbours and negatives.
        views: Sizes of views.
        mask: What is hidden in training.
        batches: How batches travel to the training device.
        model: Sizes of the models.
        training: Stages and optimisation.
        scaling: Workers and their resources.
        downstream: Tasks on the frozen models.
        evaluation: Sizes of the evaluation.
    """

    name: str = "sparta"
    folder: str = "runs"
    seed: int = Field(default=0, ge=0)
    data: DataConfig = Field(default_factory=DataConfig)
    sampling: SamplingConfig = Field(default_factory=SamplingConfig)
    views: ViewConfig = Field(default_factory=ViewConfig)
    mask: MaskConfig = Field(default_factory=MaskConfig)
    batches: BatchConfig = Field(default_factory=BatchConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    scaling: ScalingConfig = Field(default_factory=ScalingConfig)
    downstream: DownstreamConfig = Field(default_factory=DownstreamConfig)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise ValueError(
                "use letters, digits, '.', '_' and '-', not '.' or '-' first: it names a folder"
            )
        return name

    @property
    def path(self) -> str:
        """The run folder."""
        return f"{self.folder.rstrip('/')}/{self.name}"

    @property
    def models(self) -> tuple[ModelKind, ...]:
        """The models its stages train, in order."""
        return tuple(dict.fromkeys(model_kind(stage) for stage in self.training.stages))


def with_absolute_paths(run: Run) -> Run:
    """Return the run with absolute paths, so that it means the same in every process."""
    source = run.data.source.with_absolute_paths()
    return replace(
        run,
        folder=output_path(run.folder),
        data=replace(run.data, store=output_path(run.data.store), source=source),
    )


def splits(run: Run, days: int) -> dict[SplitName, Split]:
    """Return the run's splits of a store of `days` days."""
    return split_days(Split(0, days), run.data.split)


def downstream_splits(run: Run, days: int) -> dict[SplitName, Split]:
    """Return how the test part is split again for the downstream tasks."""
    return split_days(splits(run, days)["test"], run.downstream.split)


def schedule(run: Run, stage: StageConfig, days: int) -> Schedule:
    """Return the positions of a stage."""
    parts = splits(run, days)
    plan_steps = batches_per_epoch(parts["train"], run.sampling)
    return Schedule(
        stage.epochs,
        run.training.steps_per_epoch or plan_steps,
        batches_per_epoch(parts["validation"], run.sampling),
        plan_steps,
    )
