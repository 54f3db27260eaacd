"""A forecaster of anomalies: for each lead one ridge regression, from past embeddings directly.

Legend: E mask, T day, B window, L past day, F lead, D embedding, K principal component, P = L · K
predictor, R = E · B row, N function of the season.
"""

from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from sparta_ray.config import STRICT
from sparta_ray.downstream.ridge import BlockedRidge
from sparta_ray.downstream.training import LatentsOfEpoch, OnEpoch, latents_for, mean_loss
from sparta_ray.downstream.windows import WindowConfig, window_starts

YEAR_DAYS = 365.2425

ROWS = 64
"""Windows forecast at a time in validation."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AnomalyRegressionConfig(WindowConfig):
    """Ridge regression of anomalies, lead by lead.

    Attributes:
        kind: Beside the published ``lstm``.
        look_back: Days that are regressed on.
        harmonics: Waves of a year in the embeddings' climatology.
        components: Principal components of the anomalies that are regressed on and forecast; with
            more than an embedding has, all.
        penalties: Ridge penalties to choose from for each lead, in units of the predictors' mean
            eigenvalue. The largest should leave next to nothing of a forecast.
        folds: Blocks of consecutive days that each are left out once to choose the penalty.
        epochs: Masks under which every training day is seen.
    """

    kind: Literal["anomaly_regression"]
    look_back: int = Field(default=2, ge=1)
    harmonics: int = Field(default=3, ge=0)
    components: int = Field(default=150, ge=1)
    penalties: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=tuple(10 ** (half / 2) for half in range(-6, 9)), min_length=1
    )
    folds: int = Field(default=5, ge=2)
    epochs: int = Field(default=4, ge=1)

    @property
    def training_horizon(self) -> int:
        """Days after the past that a window in training has to hold."""
        return self.lead_days


def year_phase(dates: NDArray[np.datetime64]) -> Tensor:
    """Return how far in the year dates are, in radians, of their shape; 0 is the turn of 1970."""
    days = (dates - np.datetime64("1970-01-01")) / np.timedelta64(1, "D")
    return torch.from_numpy(np.asarray(2 * np.pi * (days / YEAR_DAYS % 1)))


def seasonal(phase: Tensor, harmonics: int) -> Tensor:
    """Return 1 and the cosine and sine of each wave of a year, shape (..., N = 1 + 2 harmonics)."""
    waves = torch.arange(1, harmonics + 1, device=phase.device)
    angle = phase[..., None] * waves
    return torch.cat([torch.ones_like(phase)[..., None], angle.cos(), angle.sin()], dim=-1)


class AnomalyRegression(nn.Module):
    """Forecasts a climatology of embeddings plus an anomaly that is linear in the past anomalies.

    With c(t) the climatology, E the principal components and W_f the weights of lead f,
    h(t + f) = c(t + f) + E W_f [Eᵀ(h(t) - c(t)), Eᵀ(h(t-1) - c(t-1)), …].
    The weights minimise a squared error, so they tend to 0 where nothing can be known: a forecast
    far ahead is the climatology.

    Args:
        embedding: Components D of an embedding.
        config: Sizes.
    """

    def __init__(self, embedding: int, config: AnomalyRegressionConfig) -> None:
        super().__init__()
        components = min(config.components, embedding)
        self.harmonics = config.harmonics
        self.climatology_ND = _constant(1 + 2 * config.harmonics, embedding)
        self.components_DK = _constant(embedding, components)
        self.weights_FPK = _constant(config.lead_days, config.look_back * components, components)

    def climatology(self, phase: Tensor) -> Tensor:
        """Return the climatology at phases of the year, shape (..., D)."""
        return seasonal(phase, self.harmonics).to(self.climatology_ND) @ self.climatology_ND

    def predictors(self, past_BLD: Tensor, phase_BL: Tensor) -> Tensor:
        """Return the leading components of past anomalies, the last day first, shape (B, P)."""
        anomalies_BLD = past_BLD - self.climatology(phase_BL)
        return (anomalies_BLD @ self.components_DK).flip(1).flatten(1)

    def regress(self, x_BP: Tensor) -> Tensor:
        """Return the components of the anomalies at every lead from 1 on, shape (B, F, K)."""
        return torch.einsum("bp,fpk->bfk", x_BP, self.weights_FPK)


def train_anomaly_regression(
    train_latents: LatentsOfEpoch,
    train_phase: Tensor,
    validation_latents: Tensor,
    validation_phase: Tensor,
    config: AnomalyRegressionConfig,
    on_epoch: OnEpoch,
) -> AnomalyRegression:
    """Solve for the regressions after every epoch's masks, with all seen so far; return the last.

    Args:
        train_latents: Gives the training days' embeddings (days, D); called once an epoch.
        train_phase: Where in the year those days are, shape (days,).
        validation_latents: Those of the validation days; training runs on their device.
        validation_phase: Where in the year they are.
        config: Windows and sizes.
        on_epoch: Receives ``loss``, on left-out blocks of training days, and ``validation_loss``
            after every epoch: the mean squared error of the principal components at all leads.

    Raises:
        ConfigError: Not one window fits in a split, or fewer training windows than folds.
        ValueError: The loss is not a finite number.
    """
    device = validation_latents.device
    model = AnomalyRegression(validation_latents.shape[-1], config).to(device)
    validation = validation_phase.to(device)
    _starts(len(validation_latents), config)  # Too short a split is told before any encoding.
    draws: list[Tensor] = []
    for epoch in range(config.epochs):
        draws.append(latents_for(train_latents, epoch, validation_latents))
        loss = fit(model, torch.stack(draws), train_phase.to(device), config)
        validation_loss = _loss(model, validation_latents, validation, config)
        on_epoch(epoch, {"loss": loss, "validation_loss": validation_loss})
    return model


def fit(
    model: AnomalyRegression, h_ETD: Tensor, phase_T: Tensor, config: AnomalyRegressionConfig
) -> float:
    """Set climatology, components and weights; return the mean squared error on left-out blocks.

    Args:
        model: Receives them.
        h_ETD: Embeddings of the same days under different masks, shape (masks, days, D).
        phase_T: Where in the year the days are.
        config: Penalties and folds.
    """
    h_ETD = h_ETD.double()
    season_TN = seasonal(phase_T, model.harmonics)
    climatology_ND = torch.linalg.lstsq(season_TN, h_ETD.mean(0)).solution
    anomalies_ETD = h_ETD - season_TN @ climatology_ND
    covariance_DD = torch.einsum("etd,etc->dc", anomalies_ETD, anomalies_ETD)
    components_DK = torch.linalg.eigh(covariance_DD)[1].flip(1)[:, : model.components_DK.shape[1]]
    model.climatology_ND.copy_(climatology_ND)
    model.components_DK.copy_(components_DK)

    y_ETK = anomalies_ETD @ components_DK
    starts_B = _starts(len(phase_T), config)
    last_B = starts_B + config.look_back - 1
    x_RP = torch.cat([y_ETK[:, last_B - back] for back in range(config.look_back)], -1).flatten(
        0, 1
    )
    block_B = torch.arange(len(starts_B)) * config.folds // len(starts_B)
    ridge = BlockedRidge(x_RP, block_B.repeat(len(h_ETD)), config.penalties)
    errors = []
    for lead in range(1, config.lead_days + 1):
        weights_PK, error = ridge.solve(y_ETK[:, last_B + lead].flatten(0, 1))
        model.weights_FPK[lead - 1] = weights_PK
        errors.append(error)
    return float(np.mean(errors))


def _constant(*shape: int) -> nn.Parameter:
    """Return weights that are solved for, not descended to."""
    return nn.Parameter(torch.zeros(shape), requires_grad=False)


def _starts(days: int, config: AnomalyRegressionConfig) -> Tensor:
    return torch.from_numpy(window_starts(days, config.look_back, config.lead_days, config.stride))


def _loss(
    model: AnomalyRegression, h_TD: Tensor, phase_T: Tensor, config: AnomalyRegressionConfig
) -> float:
    """Return the mean squared error of the principal components at all leads."""
    starts_W = _starts(len(h_TD), config)
    anomalies_TK = (h_TD - model.climatology(phase_T)) @ model.components_DK
    past, ahead = torch.arange(config.look_back), torch.arange(config.lead_days)

    def loss_of(rows_B: Tensor) -> Tensor:
        past_BL = starts_W[rows_B, None] + past
        ahead_BF = starts_W[rows_B, None] + config.look_back + ahead
        y_BFK = model.regress(model.predictors(h_TD[past_BL], phase_T[past_BL]))
        return mse_loss(y_BFK, anomalies_TK[ahead_BF])

    return mean_loss(len(starts_W), ROWS, loss_of)
