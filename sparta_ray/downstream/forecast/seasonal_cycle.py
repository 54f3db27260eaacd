"""The turn of the year as waves: where in it a date is, and the waves that make a seasonal cycle.

Legend: N wave.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

YEAR_DAYS = 365.2425


def year_phase(dates: NDArray[np.datetime64]) -> Tensor:
    """Return how far in the year dates are, in radians, of their shape; 0 is the turn of 1970."""
    days = (dates - np.datetime64("1970-01-01")) / np.timedelta64(1, "D")
    return torch.from_numpy(np.asarray(2 * np.pi * (days / YEAR_DAYS % 1)))


def waves(phase: Tensor, harmonics: int) -> Tensor:
    """Return 1 and the cosine and sine of each harmonic, shape (..., N = 1 + 2 harmonics)."""
    angle = phase[..., None] * torch.arange(1, harmonics + 1, device=phase.device)
    return torch.cat([torch.ones_like(phase)[..., None], angle.cos(), angle.sin()], dim=-1)
