"""Solving for a forecaster of anomalies: seasonal cycle, patterns, and ridge weights by lead.

Legend: E mask, T day, B window, L past day, F lead, D embedding, K component, P = L · K predictor,
R = E · B row, M pattern of the target, G value of the target.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.seeding import derive_seed
from sparta_ray.downstream.forecast.anomaly_regression import (
    AnomalyRegression,
    AnomalyRegressionConfig,
)
from sparta_ray.downstream.forecast.ridge import BlockedRidge
from sparta_ray.downstream.forecast.seasonal_cycle import waves
from sparta_ray.downstream.forecast.windows import window_starts
from sparta_ray.downstream.training import (
    LatentsOfEpoch,
    OnEpoch,
    latents_for,
    mean_loss,
    repeatable,
)

ROWS = 64
"""Windows forecast at a time in validation."""


@dataclass(frozen=True)
class KnownDays:
    """What is known of a split's days beside their embeddings.

    Attributes:
        phase: Where in the year they are, as of `year_phase`, shape (T,).
        fields: Standardised, shape (T, G); None where embeddings are the target.
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


def train_anomaly_regression(
    train_latents: LatentsOfEpoch,
    train_days: KnownDays,
    validation_latents: Tensor,
    validation_days: KnownDays,
    config: AnomalyRegressionConfig,
    seed: int,
    on_epoch: OnEpoch,
) -> AnomalyRegression:
    """Solve for the regressions, with the training days seen under every epoch's masks.

    Args:
        train_latents: Gives the training days' embeddings (days, D); called once an epoch.
        train_days: Those days.
        validation_latents: Embeddings of the validation days; training runs on their device.
        validation_days: Those days.
        config: Windows and sizes.
        seed: Of the search for leading patterns.
        on_epoch: Receives, once and with the last epoch, ``loss`` on left-out blocks of training
            days, and ``validation_loss``: mean squared errors of the patterns at all leads.

    Raises:
        ConfigError: Not one window fits in a split.
        ValueError: The loss is not a finite number.
    """
    points = 0 if train_days.fields is None else train_days.fields.shape[1]
    model = AnomalyRegression(validation_latents.shape[-1], points, config)
    model.to(validation_latents.device)
    _starts(len(validation_latents), config)  # Too short a split is told before any encoding.
    draws = (latents_for(train_latents, e, validation_latents) for e in range(config.epochs))
    h_ETD = torch.stack(list(draws))
    phase_T, target_ETG = train_days.phase.to(h_ETD.device), train_days.target(h_ETD)
    with repeatable(derive_seed(seed, "patterns"), h_ETD.device):
        _find_patterns(h_ETD, phase_T, model.cycle_ND, model.components_DK)
        _find_patterns(target_ETG, phase_T, model.target_cycle_NG, model.patterns_GM)
    x_ETK = model.amplitudes(h_ETD, phase_T)
    y_ETM = model.target_strengths(target_ETG, phase_T).expand(config.epochs, -1, -1)
    loss = _regress(model, x_ETK.double(), y_ETM.double(), config)
    validation_loss = _loss(model, validation_latents, validation_days, config)
    on_epoch(config.epochs - 1, {"loss": loss, "validation_loss": validation_loss})
    return model


def _find_patterns(
    series_ETG: Tensor, phase_T: Tensor, cycle_NG: Tensor, patterns_GM: Tensor
) -> None:
    """Set the seasonal cycle of a series, and the leading patterns of its anomalies.

    Patterns are orthonormal, or 0 where there are fewer than asked for.
    """
    waves_TN = waves(phase_T, len(cycle_NG) // 2).to(series_ETG)
    # The pseudo-inverse also serves a record too short to tell the waves apart.
    cycle_NG.copy_(torch.linalg.pinv(waves_TN) @ series_ETG.mean(0))
    anomalies_RG = (series_ETG - waves_TN @ cycle_NG).flatten(0, 1)
    found = min(patterns_GM.shape[1], *anomalies_RG.shape)
    patterns_GM.zero_()
    patterns_GM[:, :found] = torch.svd_lowrank(anomalies_RG, q=found, niter=4)[2]


def _regress(
    model: AnomalyRegression, x_ETK: Tensor, y_ETM: Tensor, config: AnomalyRegressionConfig
) -> float:
    """Set the weights of every lead; return the mean squared error on left-out blocks."""
    starts_B = _starts(x_ETK.shape[1], config)
    last_B = starts_B + config.look_back - 1
    x_EBP = torch.cat([x_ETK[:, last_B - back] for back in range(config.look_back)], dim=-1)
    block_B = torch.arange(len(starts_B)) * config.folds // len(starts_B)
    ridge = BlockedRidge(x_EBP.flatten(0, 1), block_B.repeat(config.epochs), config.penalties)
    errors = []
    for lead in range(1, config.lead_days + 1):
        weights_PM, error = ridge.solve(y_ETM[:, last_B + lead].flatten(0, 1))
        model.weights_FPM[lead - 1] = weights_PM
        errors.append(error)
    return float(np.mean(errors))


def _starts(days: int, config: AnomalyRegressionConfig) -> Tensor:
    return torch.from_numpy(window_starts(days, config.look_back, config.lead_days, config.stride))


def _loss(
    model: AnomalyRegression, h_TD: Tensor, days: KnownDays, config: AnomalyRegressionConfig
) -> float:
    """Return the mean squared error of the target's patterns at all leads."""
    starts_W, phase_T = _starts(len(h_TD), config), days.phase.to(h_TD.device)
    y_TM = model.target_strengths(days.target(h_TD[None])[0], phase_T)
    past, ahead = torch.arange(config.look_back), torch.arange(config.lead_days)

    def loss_of(rows_B: Tensor) -> Tensor:
        past_BL = starts_W[rows_B, None] + past
        ahead_BF = starts_W[rows_B, None] + config.look_back + ahead
        x_BP = model.predictors(h_TD[past_BL], phase_T[past_BL])
        return mse_loss(torch.einsum("bp,fpm->bfm", x_BP, model.weights_FPM), y_TM[ahead_BF])

    return mean_loss(len(starts_W), ROWS, loss_of)
