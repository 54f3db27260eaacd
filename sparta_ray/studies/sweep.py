"""Sweeps: variants from a search space, and which of them are stopped early."""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Discriminator, Field, model_validator
from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT
from sparta_ray.base.seeding import derive_seed


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Grid:
    """Every value, with every combination of the other grids.

    Attributes:
        values: The values.
    """

    kind: Literal["grid"] = "grid"
    values: tuple[Any, ...] = Field(min_length=1)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Choice:
    """One of the values for each sample, with equal probability.

    Attributes:
        values: The values to draw from.
    """

    kind: Literal["choice"] = "choice"
    values: tuple[Any, ...] = Field(min_length=1)

    def draw(self, random: np.random.Generator) -> Any:
        """Return one value."""
        return self.values[int(random.integers(len(self.values)))]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LogUniform:
    """A number for each sample, uniform in its logarithm; rounded to three digits.

    Attributes:
        low: Lower end.
        high: Upper end.
    """

    kind: Literal["loguniform"] = "loguniform"
    low: float = Field(gt=0)
    high: float = Field(gt=0)

    @model_validator(mode="after")
    def _check_order(self) -> "LogUniform":
        if self.low >= self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}")
        return self

    def draw(self, random: np.random.Generator) -> float:
        """Return one number."""
        value = math.exp(random.uniform(math.log(self.low), math.log(self.high)))
        return float(f"{value:.3g}")


Values = Annotated[Grid | Choice | LogUniform, Discriminator("kind")]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AshaConfig:
    """Asynchronous successive halving: a trial continues while it is among the best so far.

    Attributes:
        grace_epochs: Epochs that every trial may train [epochs].
        reduction_factor: One in this many trials, the best so far, continues after `grace_epochs`,
            and again each time the epochs have grown by this factor.
    """

    grace_epochs: int = Field(default=10, ge=1)
    reduction_factor: float = Field(default=3, gt=1)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SweepConfig:
    """A search over settings of a run, judged by a measure of one stage's epochs.

    Attributes:
        space: What each path's values are drawn from, by path, such as
            ``training.contrastive.loss.temperature``.
        samples: Number of draws for the paths that are not grids.
        seed: Seed of the draws.
        stage: The stage whose epochs are compared.
        metric: The measure to compare: a loss, or a measure of the embeddings' health, by its name
            in the stage's records. ``validation_loss`` is comparable only between variants with the
            same loss.
        mode: Whether the smallest or the largest value is best.
        asha: Early stopping of trials that fall behind; None trains every trial to its end.
    """

    space: dict[str, Values] = Field(min_length=1)
    samples: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0)
    stage: str = "pretrain"
    metric: str = "validation_loss"
    mode: Literal["min", "max"] = "min"
    asha: AshaConfig | None = Field(default_factory=AshaConfig)


def sweep_variants(sweep: SweepConfig) -> dict[str, dict[str, Any]]:
    """Return the settings of every variant, by a name made of the values.

    Example:
        A grid of ``model.width`` 0.5 and 1 gives ``width0.5`` and ``width1``.
    """
    return {_name(settings): settings for settings in _points(sweep)}


def _points(sweep: SweepConfig) -> Iterator[dict[str, Any]]:
    grids = {path: v.values for path, v in sweep.space.items() if isinstance(v, Grid)}
    drawn = {path: v for path, v in sweep.space.items() if not isinstance(v, Grid)}
    for sample in range(sweep.samples if drawn else 1):
        draws = {
            path: values.draw(np.random.default_rng(derive_seed(sweep.seed, "sweep", path, sample)))
            for path, values in drawn.items()
        }
        for point in itertools.product(*grids.values()):
            chosen = dict(zip(grids, point, strict=True)) | draws
            yield {path: chosen[path] for path in sweep.space}


def _name(settings: Mapping[str, Any]) -> str:
    """Return a name of a folder, such as ``lr0.001-temperature0.1``."""
    parts = [f"{path.rpartition('.')[2]}{_short(value)}" for path, value in settings.items()]
    return "-".join(parts)


def _short(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in text)
