"""A run: everything one YAML file decides, and whether it fits its data before anything starts."""

import re
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from sparta_ray.config import STRICT, ConfigError
from sparta_ray.data.compact import BatchConfig
from sparta_ray.data.masking import MaskConfig, check_mask
from sparta_ray.data.recipe import DataConfig
from sparta_ray.data.sampling import SamplingConfig, anchors, batches_per_epoch, check_split
from sparta_ray.data.schedule import Schedule
from sparta_ray.data.sources import NetCDFSource, ZarrSource
from sparta_ray.data.splits import Split, SplitName, split_days
from sparta_ray.data.views import ViewConfig
from sparta_ray.downstream.config import DownstreamConfig
from sparta_ray.evaluation.config import EvaluationConfig
from sparta_ray.models.resnet import SHRINKAGE
from sparta_ray.models.sparta import ModelConfig
from sparta_ray.paths import absolute, kept
from sparta_ray.training.config import ScalingConfig, TrainingConfig
from sparta_ray.training.stages import ModelKind, StageConfig, build_model, model_kind


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


def located(run: Run) -> Run:
    """Return the run with absolute paths, so that it means the same in every process."""
    source = run.data.source
    if isinstance(source, NetCDFSource):
        paths = tuple(map(absolute, source.patterns))
        source = replace(source, paths=paths[0] if isinstance(source.paths, str) else paths)
    elif isinstance(source, ZarrSource):
        source = replace(source, url=absolute(source.url))
    return replace(
        run,
        folder=kept(run.folder),
        data=replace(run.data, store=kept(run.data.store), source=source),
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


def check_run(run: Run, dates: NDArray[np.datetime64], grid: tuple[int, int]) -> None:
    """Refuse a run that its data cannot carry; nothing has been started yet.

    Args:
        run: The run.
        dates: Calendar days of its data.
        grid: Longitudes and latitudes.

    Raises:
        ConfigError: Names the setting, the numbers and the remedy.
    """
    days = len(dates)
    parts = splits(run, days)
    _check_climatology(run, dates[parts["train"].start : parts["train"].stop])
    masks = {"mask": run.mask} | {
        f"downstream.{name}": getattr(run.downstream, name)
        for name in ("mask", "classification_mask")
    }
    for path, mask in masks.items():
        check_mask(mask, path, len(run.data.variables))
    training: tuple[SplitName, ...] = ("train", "validation")
    for split in training:
        check_split(parts[split], split, run.sampling)
    _check_rows_of_ranks(run, parts)
    if max(run.views.crop) <= SHRINKAGE:
        raise ConfigError(
            f"views.crop {run.views.crop} must exceed {SHRINKAGE} on one side: the encoder's last "
            "map would be one point, and its per-channel norms would make every embedding the same"
        )
    with torch.device("meta"):  # sizes alone
        for kind in run.models:
            build_model(kind, run.data.variables, grid, run.model)
    downstream = downstream_splits(run, days)
    for name, setting in run.downstream.forecast.items():
        horizons: dict[SplitName, int] = {
            "train": setting.training_horizon,
            "validation": setting.training_horizon,
            "test": setting.lead_days,
        }
        for split, horizon in horizons.items():
            length = len(downstream[split])
            if setting.look_back + horizon > length:
                raise ConfigError(
                    f"downstream.forecast.{name}: look_back {setting.look_back} and {horizon} "
                    f"further days do not fit into the {length} days of the downstream {split} "
                    "split; shorten look_back or lead_days, or enlarge that split"
                )


def _check_rows_of_ranks(run: Run, parts: dict[SplitName, Split]) -> None:
    """Refuse more workers than the shortest batch has rows, and a batch of a single row.

    Batch norms, which span the workers, need two.
    """
    for name in ("train", "validation"):
        last = len(anchors(parts[name], run.sampling)) % run.sampling.anchors_per_batch
        rows = (last or run.sampling.anchors_per_batch) * run.sampling.rows_per_anchor
        workers = run.scaling.most_workers
        if rows < max(2, workers):
            fewer = f", or at most {rows} workers" if rows > 1 else ""
            raise ConfigError(
                f"the last {name} batch of an epoch has {rows} rows, too few for "
                f"scaling.num_workers {workers}; use another "
                f"sampling.rows_per_batch{fewer}"
            )


def _check_climatology(run: Run, training_days: NDArray[np.datetime64]) -> None:
    """Refuse training days that leave some day of the year without a climatology."""
    year = 366
    of_year = training_days - training_days.astype("datetime64[Y]")
    known = np.unique(of_year.astype(int))
    gaps = np.diff(np.append(known, known[0] + year))
    farthest = int(gaps.max()) // 2
    if farthest >= run.evaluation.climatology_half_window:
        raise ConfigError(
            f"the train split has {len(training_days)} days and leaves a day of the year "
            f"{farthest} days from any of them: no climatology within "
            f"evaluation.climatology_half_window {run.evaluation.climatology_half_window}; train "
            f"on a whole year, or set it to at least {farthest + 1}"
        )
