"""Masks on the training device: bits become booleans, and hidden values the mean."""

import numpy as np
import torch
from torch import Tensor


def unpack_mask(bits_RN: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Expand packed bits on their device.

    Args:
        bits_RN: uint8, shape (rows, packed_size(product of shape)).
        shape: Shape of one row's values.

    Returns:
        bool, shape (rows, *shape), True = kept.
    """
    shifts = torch.arange(7, -1, -1, device=bits_RN.device, dtype=torch.uint8)
    bits = (bits_RN.unsqueeze(-1) >> shifts) & 1
    size = int(np.prod(shape))
    return bits.flatten(1)[:, :size].bool().view(-1, *shape)


def apply_mask(x: Tensor, kept: Tensor) -> Tensor:
    """Set hidden values to 0, the mean of standardised data; `x` itself is not changed."""
    return torch.where(kept, x, x.new_zeros(()))
