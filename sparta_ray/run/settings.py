"""A run: everything that one YAML file decides, and the splits and schedules it leads to."""

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

LONGEST_NAME = 100
"""Most characters of a run's name; file systems allow 255, of which suffixes take some."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Run:
    """One run of the method; every job reads the same file and does its part of it.

    Attributes:
        name: Name of the run, and of its folder.
        folder: Where run folders are kept: a path or an fsspec URL.
        seed: Seed from which every random draw of the run is derived.
        data: Source, store, variables and split.
        sampling: How anchors, neighbours and negatives are drawn.
        views: Sizes of the views that the encoder sees.
        mask: What is hidden in training.
        batches: How batches travel to the training device.
        model: Sizes of the models, and how variables are fused.
        training: Stages, losses and optimisation.
        scaling: Workers and their resources.
        downstream: Tasks on the frozen models.
        evaluation: What is measured, and on how many days.
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
        if len(name) > LONGEST_NAME:
            raise ValueError(f"use at most {LONGEST_NAME} characters: it names a folder")
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
    """Return the run with absolute paths, so that every process understands them alike."""
    source = run.data.source.with_absolute_paths()
    return replace(
        run,
        folder=output_path(run.folder),
        data=replace(run.data, store=output_path(run.data.store), source=source),
    )


def splits(run: Run, days: int) -> dict[SplitName, Split]:
    """Return how a run splits the days of its store, of which there are `days`."""
    return split_days(Split(0, days), run.data.split)


def downstream_splits(run: Run, days: int) -> dict[SplitName, Split]:
    """Return how the test split is split again for the downstream tasks."""
    return split_days(splits(run, days)["test"], run.downstream.split)


def schedule(run: Run, stage: StageConfig, days: int) -> Schedule:
    """Return the epochs and steps of a stage on a store of `days` days."""
    parts = splits(run, days)
    plan_steps = batches_per_epoch(parts["train"], run.sampling)
    return Schedule(
        stage.epochs,
        run.training.steps_per_epoch or plan_steps,
        batches_per_epoch(parts["validation"], run.sampling),
        plan_steps,
    )
