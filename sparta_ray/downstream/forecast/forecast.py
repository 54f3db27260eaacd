"""Forecasting in embedding space: which forecasters there are, chosen by ``kind``."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from sparta_ray.downstream.forecast.anomaly_regression import AnomalyRegressionConfig
from sparta_ray.downstream.forecast.lstm import LSTMForecastConfig


def _kind(setting: Any) -> Any:
    """Return a setting's ``kind``; without one it is the published form."""
    if isinstance(setting, Mapping):
        return setting.get("kind", "lstm")
    return getattr(setting, "kind", None)


ForecastConfig = Annotated[
    Annotated[LSTMForecastConfig, Tag("lstm")]
    | Annotated[AnomalyRegressionConfig, Tag("anomaly_regression")],
    Discriminator(_kind),
]
"""Every forecaster's settings, a tag for each; a new one is added here and nowhere else."""

PUBLISHED: dict[str, ForecastConfig] = {
    "lookback30_stride1": LSTMForecastConfig(),
    "lookback5_stride5": LSTMForecastConfig(look_back=5, stride=5, dropout=0.3, weight_decay=1e-5),
    "lookback5_stride10": LSTMForecastConfig(look_back=5, stride=10, weight_decay=1e-5),
}
"""The three settings of the published forecasts."""
