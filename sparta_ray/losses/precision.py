"""Losses are computed in float32 or better, whatever precision the network ran in."""

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """Return half-precision values in float32, and anything else unchanged."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
