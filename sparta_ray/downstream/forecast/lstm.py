"""The published forecaster: a sequence-to-sequence LSTM from past embeddings to those ahead.

Shape legend: T day, B window, L past day, F future day, H hidden unit, D embedding.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from sparta_ray.base.config import STRICT
from sparta_ray.base.seeding import derive_seed
from sparta_ray.downstream.forecast.forecaster import (
    FieldsAtLead,
    ForecastContext,
    ForecastData,
    Forecaster,
    ForecasterConfig,
)
from sparta_ray.downstream.forecast.windows import window_starts
from sparta_ray.downstream.training import (
    LatentsOfEpoch,
    OnEpoch,
    latents_for,
    mean_loss,
    minibatches,
    repeatable,
    train_epoch,
)
from sparta_ray.training.plateau import PlateauConfig, plateau_schedule

Probability = Annotated[float, Field(ge=0, le=1)]

WINDOWS_AT_ONCE = 256
"""Windows that are forecast at a time, so that all fit in memory."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LSTMForecastConfig(ForecasterConfig):
    """The LSTM and its training; the defaults are the published look-back-30 setting.

    Attributes:
        hidden: Hidden units of the encoder LSTM and of the decoder LSTM.
        layers: Number of layers of each LSTM.
        dropout: Dropout probability between layers, and on the decoder's hidden state before the
            linear map.
        epochs: Passes over the training windows.
        batch_size: Windows per batch.
        lr: Adam's learning rate.
        weight_decay: Adam's L2 penalty.
        teacher_forcing: Probability that the decoder is fed the true previous day, before the first
            and in the last epoch; linear in between (scheduled sampling). With 100 epochs, as
            published, the first one has 0.991. It is drawn for each batch and day.
        target_days: Length of the forecast in training. With 1, as published, the decoder is never
            fed a step that it had to predict, so `teacher_forcing` has no effect [steps of
            data.step].
        validation_masks: With ``redrawn``, as published, the validation days are masked anew in
            every epoch; with ``fixed`` they are encoded once, and only the forecaster changes the
            validation loss.
        plateau: Learning-rate schedule.
    """

    kind: Literal["lstm"] = "lstm"
    hidden: int = Field(default=128, ge=1, le=65_536)
    layers: int = Field(default=1, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    epochs: int = Field(default=100, ge=1, le=1_000_000)
    batch_size: int = Field(default=64, ge=1)
    lr: float = Field(default=1e-2, gt=0)
    weight_decay: float = Field(default=1e-6, ge=0)
    teacher_forcing: tuple[Probability, Probability] = (1.0, 0.1)
    target_days: int = Field(default=1, ge=1)
    validation_masks: Literal["redrawn", "fixed"] = "redrawn"
    plateau: PlateauConfig = Field(default_factory=PlateauConfig)

    @property
    def training_horizon(self) -> int:
        """Days after the past that a window in training has to hold."""
        return self.target_days

    def teacher_forcing_in(self, epoch: int) -> float:
        """Return the probability of feeding the truth in an epoch counted from 0."""
        first, last = self.teacher_forcing
        return first + (last - first) * (epoch + 1) / self.epochs

    def build(self, embedding: int, points: int) -> "LSTMForecaster":
        """Return the untrained forecaster; the fields' size does not matter to it."""
        return LSTMForecaster(embedding, self)

    def train(self, data: ForecastData, seed: int, on_epoch: OnEpoch) -> "LSTMForecaster":
        """Train on the embeddings alone."""
        return train_lstm_forecaster(
            data.train_latents,
            data.validation_latents,
            self,
            seed,
            on_epoch,
            data.redraw_validation if self.validation_masks == "redrawn" else None,
        )


class LSTMForecaster(Forecaster):
    """Encoder LSTM over past days, decoder LSTM over days ahead, linear map to the embedding.

    The decoder starts from the encoder's final state and is first fed the last past day, then
    its own forecast of the day before or, in training, sometimes the true one.

    Args:
        embedding: Components D of an embedding.
        config: Sizes and dropout.
    """

    def __init__(self, embedding: int, config: LSTMForecastConfig) -> None:
        super().__init__()
        size = (embedding, config.hidden, config.layers)
        between_layers = config.dropout if config.layers > 1 else 0.0
        self.encoder = nn.LSTM(*size, batch_first=True, dropout=between_layers)
        self.decoder = nn.LSTM(*size, batch_first=True, dropout=between_layers)
        self.dropout = nn.Dropout(config.dropout)
        self.to_embedding = nn.Linear(config.hidden, embedding)

    def forward(
        self,
        past_BLD: Tensor,
        target_BFD: Tensor | None = None,
        teacher_forcing: float = 0.0,
        generator: torch.Generator | None = None,
        *,
        days: int = 1,
    ) -> Tensor:
        """Return forecasts (B, F, D) of the days after `past_BLD` (B, L, D).

        Args:
            past_BLD: Embeddings of consecutive days.
            target_BFD: Embeddings of the days that follow; None to forecast `days` days unaided.
            teacher_forcing: Probability, per day, of feeding all windows the true day before.
            generator: Draws which; None for the global one.
            days: F without a target.
        """
        if target_BFD is not None:
            days = target_BFD.shape[1]
        elif teacher_forcing > 0:
            raise ValueError(f"teacher_forcing = {teacher_forcing} needs a target: pass one, or 0")
        _, state = self.encoder(past_BLD)
        day_B1D, forecasts = past_BLD[:, -1:], []
        for lead in range(days):
            if lead > 0 and target_BFD is not None and _happens(teacher_forcing, generator):
                day_B1D = target_BFD[:, lead - 1 : lead]
            hidden_B1H, state = self.decoder(day_B1D, state)
            day_B1D = self.to_embedding(self.dropout(hidden_B1H))
            forecasts.append(day_B1D)
        return torch.cat(forecasts, dim=1)

    @torch.no_grad()
    def rollout(self, past_BLD: Tensor, lead_days: int) -> Tensor:
        """Return the autoregressive forecast (B, lead_days, D), without dropout or gradients."""
        was_training = self.training
        self.eval()
        forecast_BFD = self.forward(past_BLD, days=lead_days)
        self.train(was_training)
        return forecast_BFD

    def forecast(self, past_WLD: Tensor, lead_days: int, context: ForecastContext) -> FieldsAtLead:
        """Forecast all leads at once, a few windows at a time; decode a lead when asked for."""
        chunks = torch.split(past_WLD, WINDOWS_AT_ONCE)
        h_WFD = torch.cat([self.rollout(chunk, lead_days).cpu() for chunk in chunks])
        return lambda lead: context.embedder.decode_physical(h_WFD[:, lead - 1])


def _happens(probability: float, generator: torch.Generator | None) -> bool:
    """Return whether something of a probability happens; what cannot happen is not drawn."""
    if probability == 0:
        return False
    device = None if generator is None else generator.device
    return bool(torch.rand(1, generator=generator, device=device) < probability)


def train_lstm_forecaster(
    train_latents: LatentsOfEpoch,
    validation_latents: Tensor,
    config: LSTMForecastConfig,
    seed: int,
    on_epoch: OnEpoch,
    redraw_validation: LatentsOfEpoch | None = None,
) -> LSTMForecaster:
    """Train on windows of one split and return the forecaster with its last weights.

    Args:
        train_latents: Gives the training days' embeddings (days, D); called once an epoch.
        validation_latents: Those of the validation days in epoch 0; training runs on their device.
        config: Windows, sizes and optimisation.
        seed: Initial weights, dropout, order and scheduled sampling depend on it alone.
        on_epoch: Receives ``loss``, ``validation_loss`` and ``lr`` after every epoch.
        redraw_validation: Gives the validation days' embeddings in later epochs; None to keep those
            of epoch 0.

    Raises:
        ConfigError: Not one window fits in a split.
    """
    with repeatable(derive_seed(seed, "forecast weights"), torch.device("cpu")):
        model = LSTMForecaster(validation_latents.shape[-1], config)
    model.to(validation_latents.device)
    optimiser = torch.optim.Adam(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    schedule = plateau_schedule(optimiser, config.plateau)
    _starts(validation_latents, config)  # Too short a split is told before any training.
    for epoch in range(config.epochs):
        h_TD = latents_for(train_latents, epoch, validation_latents)
        loss = _train_on_windows(model, optimiser, h_TD, config, seed, epoch)
        watched_TD = validation_latents
        if redraw_validation is not None and epoch > 0:
            watched_TD = latents_for(redraw_validation, epoch, validation_latents)
        validation_loss = _rollout_loss(model, watched_TD, config)
        lr = optimiser.param_groups[0]["lr"]
        schedule.step(validation_loss)
        on_epoch(epoch, {"loss": loss, "validation_loss": validation_loss, "lr": lr})
    return model


def _train_on_windows(
    model: LSTMForecaster,
    optimiser: torch.optim.Optimizer,
    h_TD: Tensor,
    config: LSTMForecastConfig,
    seed: int,
    epoch: int,
) -> float:
    starts = _starts(h_TD, config)
    teacher_forcing = config.teacher_forcing_in(epoch)
    coins = torch.Generator().manual_seed(derive_seed(seed, "forecast truth", epoch))

    def loss_of(rows_B: Tensor) -> Tensor:
        past_BLD, target_BFD = _windows(h_TD, starts[rows_B], config)
        return mse_loss(model(past_BLD, target_BFD, teacher_forcing, coins), target_BFD)

    order = derive_seed(seed, "forecast order", epoch)
    batches = minibatches(len(starts), config.batch_size, order)
    with repeatable(derive_seed(seed, "forecast dropout", epoch), h_TD.device):
        return train_epoch(model, optimiser, batches, loss_of)


def _rollout_loss(model: LSTMForecaster, h_TD: Tensor, config: LSTMForecastConfig) -> float:
    """Return the mean squared error of autoregressive forecasts from all windows."""
    starts = _starts(h_TD, config)

    def loss_of(rows_B: Tensor) -> Tensor:
        past_BLD, target_BFD = _windows(h_TD, starts[rows_B], config)
        return mse_loss(model.rollout(past_BLD, config.target_days), target_BFD)

    return mean_loss(len(starts), config.batch_size, loss_of)


def _starts(h_TD: Tensor, config: LSTMForecastConfig) -> Tensor:
    starts = window_starts(len(h_TD), config.look_back, config.target_days, config.stride)
    return torch.from_numpy(starts)


def _windows(h_TD: Tensor, starts_B: Tensor, config: LSTMForecastConfig) -> tuple[Tensor, Tensor]:
    """Return past (B, look_back, D) and target (B, target_days, D) of the given windows."""
    days = torch.arange(config.look_back + config.target_days)
    windows_BTD = h_TD[(starts_B[:, None] + days).to(h_TD.device)]
    return windows_BTD[:, : config.look_back], windows_BTD[:, config.look_back :]
