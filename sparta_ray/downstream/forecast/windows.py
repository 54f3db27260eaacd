"""Windows of consecutive steps: the past that a forecaster sees, and the steps it forecasts."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT
from sparta_ray.base.errors import ConfigError


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WindowConfig:
    """What every forecaster sees and forecasts.

    Attributes:
        look_back: Length of a window's past, in consecutive steps [steps of data.step].
        stride: Distance between the starts of two training windows [steps of
            data.step].
        lead_days: Longest lead time of a forecast in the evaluation [steps of data.step].
    """

    look_back: int = Field(default=30, ge=1)
    stride: int = Field(default=1, ge=1)
    lead_days: int = Field(default=100, ge=1)


def window_starts(days: int, look_back: int, horizon: int, stride: int) -> NDArray[np.int64]:
    """Return the first step of every window that fits, horizon included.

    Six steps with look-back 2 and horizon 1: 0, 1, 2, 3; with stride 2: 0, 2.

    Args:
        days: Steps in the split.
        look_back: Days of a window's past.
        horizon: Days predicted after them.
        stride: Days between two starts.

    Raises:
        ConfigError: Not one window fits.
    """
    last = days - look_back - horizon
    if last < 0:
        raise ConfigError(
            f"look-back longer than the split: {look_back} past and {horizon} future steps do not "
            f"fit in {days} steps; reduce look_back, target_days or lead_days, or use a longer "
            "split"
        )
    return np.arange(0, last + 1, stride, dtype=np.int64)
