"""What every forecaster is: settings that build and train it, and a model that forecasts fields.

Legend: T day, W window, L past day, D embedding, G value of a field, V variable, X × Y grid.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass as plain_dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sparta_ray.base.config import STRICT
from sparta_ray.base.durations import StepLength
from sparta_ray.base.errors import ConfigError
from sparta_ray.downstream.forecast.windows import WindowConfig
from sparta_ray.downstream.training import LatentsOfEpoch, OnEpoch
from sparta_ray.embedder import Embedder

FieldsAtLead = Callable[[int], NDArray[np.float32]]
"""Gives the physical fields (W, V, X, Y) that all windows forecast at a lead, counted from 1."""


@plain_dataclass(frozen=True)
class KnownDays:
    """What is known of a split's days beside their embeddings.

    Attributes:
        phase: Where in the year and the day they are, as of `year_phase`, shape (T,).
        fields: Standardised, shape (T, G); None where the forecaster does not ask for them.
    """

    phase: Tensor
    fields: Tensor | None = None

    def __post_init__(self) -> None:
        if self.fields is not None and not bool(self.fields.isfinite().all()):
            missing = int((~self.fields.isfinite()).sum())
            raise ConfigError(
                f"{missing} of {self.fields.numel()} values of the fields to be forecast are "
                "missing; set the forecaster's target to embedding"
            )

    def target(self, h_ETD: Tensor) -> Tensor:
        """Return what is forecast, shape (E or 1, T, G): the fields, or else the embeddings."""
        return h_ETD if self.fields is None else self.fields[None].to(h_ETD.device)


@plain_dataclass(frozen=True)
class ForecastData:
    """What a forecaster is trained on.

    Attributes:
        train_latents: Gives the training days' embeddings (T, D); called once an epoch.
        train_days: What else is known of these days.
        validation_latents: Embeddings (T, D) of the validation days, under the masks of epoch 0;
            training runs on their device.
        validation_days: What else is known of those days.
        redraw_validation: Gives these embeddings under the masks of any epoch, for forecasters that
            look at them after each; None to keep the masks of epoch 0.
    """

    train_latents: LatentsOfEpoch
    train_days: KnownDays
    validation_latents: Tensor
    validation_days: KnownDays
    redraw_validation: LatentsOfEpoch | None = None


@plain_dataclass(frozen=True)
class ForecastContext:
    """What a forecaster may use beside the past embeddings.

    Attributes:
        embedder: Decodes embeddings into physical fields.
        past_phase: Where in the year the past days are, as of `year_phase`, shape (W, L).
        phase_at: Gives where in the year the days are that a lead is for, shape (W,).
        std: Standard deviation of each variable, shape (V,), for fields forecast standardised.
        grid: Longitudes and latitudes (X, Y).
    """

    embedder: Embedder
    past_phase: Tensor
    phase_at: Callable[[int], Tensor]
    std: NDArray[np.float64]
    grid: tuple[int, int]


class Forecaster(nn.Module, ABC):
    """A model that forecasts fields from past embeddings."""

    departs_from_climatology: ClassVar[bool] = False
    """Whether `forecast` gives departures from the climatology, not whole fields."""

    @abstractmethod
    def forecast(self, past_WLD: Tensor, lead_days: int, context: ForecastContext) -> FieldsAtLead:
        """Return the function of the lead that gives the forecast fields.

        Args:
            past_WLD: Embeddings of each window's past days.
            lead_days: The last lead that will be asked for.
            context: What else is known.
        """


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ForecasterConfig(WindowConfig, ABC):
    """Settings of a forecaster: they build it and train it.

    A forecaster's own settings derive from this, with a ``kind`` and its ``epochs``.
    """

    @property
    @abstractmethod
    def training_horizon(self) -> int:
        """Days after the past that a window in training has to hold."""

    def check_step(self, step: StepLength, path: str) -> None:
        """Refuse steps of the data that these settings do not suit.

        Args:
            step: How long a step is.
            path: Of these settings, for the message.

        Raises:
            ConfigError: Names the setting and the remedy.
        """

    @property
    def needs_fields(self) -> bool:
        """Whether training looks at the fields themselves."""
        return False

    @abstractmethod
    def build(self, embedding: int, points: int) -> Forecaster:
        """Return the untrained forecaster.

        Args:
            embedding: Components D of an embedding.
            points: Values G of a field, all variables together.
        """

    @abstractmethod
    def train(self, data: ForecastData, seed: int, on_epoch: OnEpoch) -> Forecaster:
        """Train on one split, watching another, and return the trained forecaster.

        Args:
            data: Embeddings, and what else is known of their days.
            seed: Everything random depends on it alone.
            on_epoch: Called after every epoch with its losses.

        Raises:
            ConfigError: Not one window fits in a split.
        """
