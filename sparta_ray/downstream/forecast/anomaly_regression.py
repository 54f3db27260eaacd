"""A forecaster of anomalies: for each lead one regression, straight from the past embeddings.

Legend: E mask, T day, B window, L past day, F lead, D embedding, K component of embeddings,
P = L · K predictor, R = E · B row, M pattern of the target, G value of the target, N wave of the
year, V variable, X × Y grid.
"""

from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from sparta_ray.base.config import STRICT
from sparta_ray.base.durations import StepLength
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.seeding import derive_seed
from sparta_ray.downstream.forecast.forecaster import (
    FieldsAtLead,
    ForecastContext,
    ForecastData,
    Forecaster,
    ForecasterConfig,
    KnownDays,
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


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AnomalyRegressionConfig(ForecasterConfig):
    """Ridge regression of anomalies, lead by lead.

    Attributes:
        look_back: Number of most recent steps that are predictors [steps of data.step].
        target: What is forecast: the anomalies of the ``fields``, or those of the ``embedding``,
            which the decoder turns into fields.
        harmonics: Number of harmonics of the seasonal cycle that anomalies are departures from.
        daily_harmonics: Number of harmonics of the daily cycle that anomalies are departures from
            as well. Needed with steps below a day (``data.step``), and only with those.
        components: Number of leading patterns (principal components) kept of the predictors and of
            the target; all, where there are fewer.
        penalties: Ridge penalties to choose from at each lead time, in units of the predictors'
            mean eigenvalue. The largest should suppress a forecast almost entirely.
        folds: Number of blocks of consecutive steps in the cross-validation that chooses the
            penalty.
        epochs: Number of masks under which every training day is seen.
    """

    kind: Literal["anomaly_regression"]
    look_back: int = Field(default=2, ge=1)
    target: Literal["fields", "embedding"] = "fields"
    harmonics: int = Field(default=3, ge=0)
    daily_harmonics: int = Field(default=0, ge=0)
    components: int = Field(default=150, ge=1)
    penalties: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=tuple(10 ** (half / 2) for half in range(-6, 9)), min_length=1
    )
    folds: int = Field(default=5, ge=2)
    epochs: int = Field(default=4, ge=1, le=1_000_000)

    @property
    def training_horizon(self) -> int:
        """Days after the past that a window in training has to hold."""
        return self.lead_days

    @property
    def waves(self) -> int:
        """Waves that make the cycles of the year and the day."""
        return (1 + 2 * self.harmonics) * (1 + 2 * self.daily_harmonics)

    def check_step(self, step: StepLength, path: str) -> None:
        """See `ForecasterConfig.check_step`: the daily cycle must be told from anomalies."""
        below_a_day = step.hours < 24
        if below_a_day and self.daily_harmonics == 0:
            raise ConfigError(
                f"{path}: steps of {step.lasting(1)} have a daily cycle, which is no anomaly; set "
                "daily_harmonics to 1 or more"
            )
        if not below_a_day and self.daily_harmonics > 0:
            raise ConfigError(
                f"{path}: steps of {step.lasting(1)} have no daily cycle; set daily_harmonics to 0"
            )

    @property
    def needs_fields(self) -> bool:
        """Whether training looks at the fields themselves."""
        return self.target == "fields"

    def build(self, embedding: int, points: int) -> "AnomalyRegression":
        """Return the forecaster with weights of 0."""
        return AnomalyRegression(embedding, points, self)

    def train(self, data: ForecastData, seed: int, on_epoch: OnEpoch) -> "AnomalyRegression":
        """Solve for the regressions."""
        return train_anomaly_regression(
            data.train_latents,
            data.train_days,
            data.validation_latents,
            data.validation_days,
            self,
            seed,
            on_epoch,
        )


class AnomalyRegression(Forecaster):
    """Forecasts the target's anomaly at every lead, linear in the embeddings' past anomalies.

    With c(t) the seasonal cycle of embeddings, E their components and Q the patterns of the target,
    the anomaly at lead f is Q W_f [Eᵀ(h(t) - c(t)), Eᵀ(h(t-1) - c(t-1)), …].
    The weights W_f minimise a squared error, so they tend to 0 where nothing can be known: a
    forecast far ahead is the climatology.

    Args:
        embedding: Components D of an embedding.
        points: Values G of a field, all variables together.
        config: Sizes and target.
    """

    departs_from_climatology: ClassVar[bool] = True

    def __init__(self, embedding: int, points: int, config: AnomalyRegressionConfig) -> None:
        super().__init__()
        outputs = points if config.target == "fields" else embedding
        components, patterns = (min(config.components, size) for size in (embedding, outputs))
        self.target = config.target
        self.harmonics = config.harmonics, config.daily_harmonics
        self.cycle_ND = _solved(config.waves, embedding)
        self.components_DK = _solved(embedding, components)
        self.weights_FPM = _solved(config.lead_days, config.look_back * components, patterns)
        self.target_cycle_NG = _solved(config.waves, outputs)
        self.patterns_GM = _solved(outputs, patterns)

    def at(self, phase: Tensor, cycle_NG: Tensor) -> Tensor:
        """Return a cycle at phases as of `year_phase`, shape (..., G)."""
        return waves(phase, *self.harmonics).to(cycle_NG) @ cycle_NG

    def amplitudes(self, h_TD: Tensor, phase_T: Tensor) -> Tensor:
        """Return the components of embeddings' anomalies, shape (..., T, K)."""
        return (h_TD - self.at(phase_T, self.cycle_ND)) @ self.components_DK

    def target_strengths(self, target_TG: Tensor, phase_T: Tensor) -> Tensor:
        """Return how strong each pattern is in anomalies of the target, shape (..., T, M)."""
        return (target_TG - self.at(phase_T, self.target_cycle_NG)) @ self.patterns_GM

    def predictors(self, past_BLD: Tensor, phase_BL: Tensor) -> Tensor:
        """Return the components of past anomalies, the last day's first, shape (B, P).

        Args:
            past_BLD: Embeddings of consecutive days.
            phase_BL: Where in the year they are, as of `year_phase`.
        """
        return self.amplitudes(past_BLD, phase_BL).flip(1).flatten(1)

    def anomalies(self, x_BP: Tensor, lead: int) -> Tensor:
        """Return forecast anomalies of the target at a lead, counted from 1, shape (B, G)."""
        return x_BP @ self.weights_FPM[lead - 1] @ self.patterns_GM.T

    def forecast(self, past_BLD: Tensor, lead_days: int, context: ForecastContext) -> FieldsAtLead:
        """Return the function of the lead that gives departures of the fields from climatology.

        Anomalies of embeddings become decoded(c + a) - decoded(c), with c their seasonal cycle and
        a the forecast: what the decoder gets wrong of an average day cancels. A forecast that knows
        nothing, a = 0, is the climatology that every forecast is compared with.
        """
        x_BP = self.predictors(past_BLD, context.past_phase)
        std_V11 = context.std[:, None, None].astype(np.float32)

        def departures(lead: int) -> NDArray[np.float32]:
            a_BG = self.anomalies(x_BP, lead)
            if self.target == "fields":
                fields = a_BG.cpu().numpy().reshape(len(a_BG), len(std_V11), *context.grid)
                fields *= std_V11
                return fields
            c_BD, decode = self.at(context.phase_at(lead), self.cycle_ND), context.embedder
            return decode.decode_physical(c_BD + a_BG) - decode.decode_physical(c_BD)

        return departures


def _solved(*shape: int) -> nn.Parameter:
    """Return weights that are solved for, not descended to."""
    return nn.Parameter(torch.zeros(shape), requires_grad=False)


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
        waves_TN = waves(phase_T, *model.harmonics)
        _find_patterns(h_ETD, waves_TN, model.cycle_ND, model.components_DK)
        _find_patterns(target_ETG, waves_TN, model.target_cycle_NG, model.patterns_GM)
    x_ETK = model.amplitudes(h_ETD, phase_T)
    y_ETM = model.target_strengths(target_ETG, phase_T).expand(config.epochs, -1, -1)
    loss = _regress(model, x_ETK.double(), y_ETM.double(), config)
    validation_loss = _loss(model, validation_latents, validation_days, config)
    on_epoch(config.epochs - 1, {"loss": loss, "validation_loss": validation_loss})
    return model


def _find_patterns(
    series_ETG: Tensor, waves_TN: Tensor, cycle_NG: Tensor, patterns_GM: Tensor
) -> None:
    """Set the seasonal cycle of a series, and the leading patterns of its anomalies.

    Patterns are orthonormal, or 0 where there are fewer than asked for.
    """
    waves_TN = waves_TN.to(series_ETG)
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
