"""Years and days as waves: where in them a time is, and the waves that make their cycles.

Legend: N wave.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

YEAR_DAYS = 365.2425


def year_phase(dates: NDArray[np.datetime64]) -> Tensor:
    """Return how far in the years dates are, in radians, of their shape.

    0 is the turn of 1970, 2π a year later. Whole years are kept, since the time of the day follows
    from them.
    """
    days = (dates - np.datetime64("1970-01-01")) / np.timedelta64(1, "D")
    return torch.from_numpy(np.asarray(2 * np.pi * days / YEAR_DAYS))


def waves(phase: Tensor, harmonics: int, daily_harmonics: int = 0) -> Tensor:
    """Return 1 and the cosine and sine of each harmonic of the year, and those times the day's.

    Args:
        phase: As of `year_phase`.
        harmonics: Of the year.
        daily_harmonics: Of the day; with some, the daily cycle changes over the year.

    Returns:
        Shape (..., N = (1 + 2 harmonics) · (1 + 2 daily_harmonics)).
    """
    yearly = _harmonics(phase, harmonics)
    if daily_harmonics == 0:
        return yearly
    daily = _harmonics(phase * YEAR_DAYS, daily_harmonics)
    return (yearly[..., :, None] * daily[..., None, :]).flatten(-2)


def _harmonics(phase: Tensor, harmonics: int) -> Tensor:
    """Return 1 and the cosine and sine of each harmonic, shape (..., 1 + 2 harmonics)."""
    phase = phase % (2 * torch.pi)
    angle = phase[..., None] * torch.arange(1, harmonics + 1, device=phase.device)
    return torch.cat([torch.ones_like(phase)[..., None], angle.cos(), angle.sin()], dim=-1)
