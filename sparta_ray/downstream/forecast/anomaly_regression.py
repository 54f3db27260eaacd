"""A forecaster of anomalies: for each lead one regression, straight from the past embeddings.

Legend: B window, L past day, F lead, D embedding, K component of embeddings, P = L · K predictor,
M pattern of the target, G value of the target, N wave of the year.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sparta_ray.base.config import STRICT
from sparta_ray.downstream.forecast.seasonal_cycle import waves
from sparta_ray.downstream.forecast.windows import WindowConfig


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AnomalyRegressionConfig(WindowConfig):
    """Ridge regression of anomalies, lead by lead.

    Attributes:
        look_back: Number of most recent days that are predictors [days].
        target: What is forecast: the anomalies of the ``fields``, or those of the ``embedding``,
            which the decoder turns into fields.
        harmonics: Number of harmonics of the seasonal cycle that anomalies are departures from.
        components: Number of leading patterns (principal components) kept of the predictors and of
            the target; all, where there are fewer.
        penalties: Ridge penalties to choose from at each lead time, in units of the predictors'
            mean eigenvalue. The largest should suppress a forecast almost entirely.
        folds: Number of blocks of consecutive days in the cross-validation that chooses the
            penalty.
        epochs: Number of masks under which every training day is seen.
    """

    kind: Literal["anomaly_regression"]
    look_back: int = Field(default=2, ge=1)
    target: Literal["fields", "embedding"] = "fields"
    harmonics: int = Field(default=3, ge=0)
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


class AnomalyRegression(nn.Module):
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

    def __init__(self, embedding: int, points: int, config: AnomalyRegressionConfig) -> None:
        super().__init__()
        outputs = points if config.target == "fields" else embedding
        components, patterns = (min(config.components, size) for size in (embedding, outputs))
        self.target, self.harmonics = config.target, config.harmonics
        self.cycle_ND = _solved(1 + 2 * config.harmonics, embedding)
        self.components_DK = _solved(embedding, components)
        self.weights_FPM = _solved(config.lead_days, config.look_back * components, patterns)
        self.target_cycle_NG = _solved(1 + 2 * config.harmonics, outputs)
        self.patterns_GM = _solved(outputs, patterns)

    def at(self, phase: Tensor, cycle_NG: Tensor) -> Tensor:
        """Return a seasonal cycle at phases of the year, shape (..., G)."""
        return waves(phase, self.harmonics).to(cycle_NG) @ cycle_NG

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


def _solved(*shape: int) -> nn.Parameter:
    """Return weights that are solved for, not descended to."""
    return nn.Parameter(torch.zeros(shape), requires_grad=False)
