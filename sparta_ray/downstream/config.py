"""Which downstream models are trained on which embeddings."""

import re

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT
from sparta_ray.data.plan.masking import MaskConfig
from sparta_ray.data.plan.splits import SplitConfig
from sparta_ray.downstream.classification import ClassificationConfig
from sparta_ray.downstream.forecast.forecast import PUBLISHED, ForecastConfig
from sparta_ray.downstream.generation.diffusion import DiffusionConfig


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DownstreamConfig:
    """Tasks on the frozen models, trained on the data's test part, split again.

    Attributes:
        split: How the data's test part is split for these tasks.
        forecast: Forecasters by a name of your choice; empty for none. Without a ``kind``, a
            setting is an ``lstm``.
        diffusion: Generation by conditional latent diffusion; None leaves it out.
        classification: Classification of seasons; None leaves it out.
        seeds: Every task is trained once with each of these seeds.
        mask: What is hidden from the encoder for forecasts and generation.
        classification_mask: What is hidden from the encoder for classification.
        cpus_per_trial: CPUs reserved for each training.
        gpus_per_trial: GPUs, or a fraction of one, reserved for each training.
        max_concurrent: Largest number of trainings at a time; None for as many as fit into the
            cluster.
    """

    split: SplitConfig = Field(default_factory=SplitConfig)
    forecast: dict[str, ForecastConfig] = Field(default_factory=lambda: dict(PUBLISHED))
    diffusion: DiffusionConfig | None = Field(default_factory=DiffusionConfig)
    classification: ClassificationConfig | None = Field(default_factory=ClassificationConfig)
    seeds: tuple[int, ...] = Field(default=(0, 42, 123), min_length=1)
    mask: MaskConfig = Field(default_factory=lambda: MaskConfig(ratio=(0.7, 0.7)))
    classification_mask: MaskConfig = Field(default_factory=lambda: MaskConfig(ratio=(0.2, 0.9)))
    cpus_per_trial: float = Field(default=1, gt=0)
    gpus_per_trial: float = Field(default=0, ge=0)
    max_concurrent: int | None = Field(default=None, ge=1)

    @field_validator("seeds")
    @classmethod
    def _check_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("name no seed twice")
        return seeds

    @field_validator("forecast")
    @classmethod
    def _check_settings(cls, settings: dict[str, ForecastConfig]) -> dict[str, ForecastConfig]:
        for name in settings:
            if not re.fullmatch(r"\w+", name):
                raise ValueError(f"{name!r}: use letters, digits and '_' only: it names folders")
        return settings
