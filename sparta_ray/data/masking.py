"""Masks: which values of a view are hidden, drawn from a seed and carried as bits."""

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor

from sparta_ray.config import STRICT

_WORD = 2**16


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaskConfig:
    """How much of a view is hidden.

    Attributes:
        ratio: The share hidden is drawn from [ratio[0], ratio[1]); equal ends fix it.
    """

    ratio: tuple[float, float] = (0.5, 0.9)

    @model_validator(mode="after")
    def _check_ratio(self) -> "MaskConfig":
        low, high = self.ratio
        if not 0 <= low <= high < 1:
            raise ValueError(f"mask ratio {self.ratio} must lie in [0, 1), ascending")
        return self


def packed_size(values: int) -> int:
    """Return the bytes that hold one bit for each of `values`."""
    return -(-values // 8)


def draw_mask(seed: int, ratio: float, values: int) -> NDArray[np.uint8]:
    """Draw which of `values` are kept, each on its own with probability 1 - ratio.

    A mask depends on its seed alone, so any worker can draw it. The ratio is resolved to 2⁻¹⁶.

    Returns:
        Bits, most significant first, 1 = kept; shape (packed_size(values),).
    """
    words = np.random.Philox(key=seed).random_raw(-(-values // 4)).view(np.uint16)[:values]
    return np.packbits(words >= round(ratio * _WORD))


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
