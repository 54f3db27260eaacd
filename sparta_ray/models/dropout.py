"""Dropout that gives the same result however many ranks share a batch.

Each call takes one key from torch's CPU generator, which every rank seeds alike. Whether a value is
dropped follows from a hash of that key, the number of its row in the batch of all ranks, and its
own number within the row. A rank computes the hashes of its own rows only.
"""

import torch
from torch import Tensor, nn

_WORD = 2**16
_WORDS = 4  # 16-bit words of one hash
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_FIRST, _SECOND = 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64


class RowDropout(nn.Module):
    """Sets values to 0 with probability `rate` when training, and scales the others up.

    The rate is rounded to a multiple of 2⁻¹⁶.

    Attributes:
        rate: Probability, from 0 to below 1.
        first_row: Number of this rank's first row in the batch of all ranks.
    """

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate
        self.first_row = 0
        self._draw = _draw

    def forward(self, x_B: Tensor) -> Tensor:
        """Return values of the same shape (B, …)."""
        if not self.training or self.rate == 0:
            return x_B
        dropped_B = self._draw(self.first_row, x_B, self.rate)
        return (x_B / (1 - self.rate)).masked_fill(dropped_B, 0)

    def draw_eagerly(self) -> None:
        """Keep the draw out of a compiled model.

        A compiled model draws from a generator of its own, and PyTorch 2.13's compiled CPU code for
        ``view(int16)``, by which `_draw` splits words, writes outside its memory.
        """
        self._draw = torch.compiler.disable(_draw)  # type: ignore[no-untyped-call]

    def extra_repr(self) -> str:
        """Return what ``print(model)`` shows."""
        return f"rate={self.rate}"


def _draw(first_row: int, x_B: Tensor, rate: float) -> Tensor:
    """Draw which values of x_B are dropped, by the next key of torch's CPU generator."""
    return draw_dropped(torch.randint(2**63 - 1, ()), first_row, x_B, rate)


def draw_dropped(key: Tensor, first_row: int, x_B: Tensor, rate: float) -> Tensor:
    """Return which values of x_B are dropped, bool of its shape, on its device.

    Args:
        key: Of this draw, int64, no dimensions.
        first_row: Row number of x_B's first row.
        x_B: Values of shape (B, …), of which only the shape and device matter.
        rate: Probability of True.
    """
    rows, device = len(x_B), x_B.device
    values = x_B[0].numel()
    row_B = torch.arange(first_row, first_row + rows, device=device)
    hash_N = torch.arange(-(-values // _WORDS), device=device) * _GOLDEN
    row_key_B = _mix(row_B * _GOLDEN + key)
    words = _mix(row_key_B[:, None] + hash_N).view(torch.int16)[:, :values]
    return (words < round(rate * _WORD) - _WORD // 2).view(x_B.shape)


def _mix(x: Tensor) -> Tensor:
    """Scramble int64 values in place, as SplitMix64 does (Steele et al. 2014)."""
    _fold(x, 30).mul_(_FIRST)
    _fold(x, 27).mul_(_SECOND)
    return _fold(x, 31)


def _fold(x: Tensor, bits: int) -> Tensor:
    """Combine x with itself shifted right, zeros entering as if it were unsigned."""
    return x.bitwise_xor_((x >> bits).bitwise_and_(2 ** (64 - bits) - 1))
