"""Losses and gradients that are not finite: noticed on the device, where weights then stay fixed.

To look at a number that a GPU has computed, the host waits until the GPU has nothing left to do. So
a step notes on the device whether its numbers are finite, and from the first that are not, weights
change no more. The host looks only when it reads other numbers anyway: for a progress line, at a
checkpoint, at the end of a split.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite

import torch
from torch import Tensor
from torch.optim import Optimizer


class NonFiniteError(FloatingPointError):
    """A loss or gradient is not finite; the weights are still those that gave it.

    Attributes:
        quantity: ``loss`` or ``gradient norm``.
        value: Infinite or not a number.
        position: Of the batch that gave it, in its stage's schedule.
    """

    def __init__(self, quantity: str, value: float, position: int, where: str = ""):
        super().__init__(f"the {quantity} is {value} at step {position}{where}")
        self.quantity, self.value, self.position = quantity, value, position


class FiniteWatch:
    """Remembers the first step whose loss or gradient was not finite, on their device.

    Attributes:
        failed: Whether `is_clean` has found such a step; known without a look at the device.
    """

    def __init__(self, device: torch.device):
        """Watch a stage whose losses are on this device."""
        self.failed = False
        self._position = torch.full((), -1, device=device)
        self._values = torch.zeros(2, dtype=torch.float64, device=device)

    def note(self, position: int, loss: Tensor, gradient_norm: Tensor | None) -> Tensor:
        """Note a step's numbers.

        Returns:
            Whether this step and all before it were finite, as a tensor of one bool.
        """
        norm = torch.zeros_like(loss) if gradient_norm is None else gradient_norm
        values = torch.stack([loss.detach().double(), norm.detach().double()])
        is_first = (self._position < 0) & ~values.isfinite().all()
        here = torch.full_like(self._position, position)
        self._position = torch.where(is_first, here, self._position)
        self._values = torch.where(is_first, values, self._values)
        return self._position < 0

    def is_clean(self) -> bool:
        """Return whether all steps so far were finite; waits for the device."""
        self.failed = int(self._position) >= 0
        return not self.failed

    def check(self) -> None:
        """Look whether all steps so far were finite; waits for the device.

        Raises:
            NonFiniteError: One was not. Ranks that compute the same raise the same.
        """
        if self.is_clean():
            return
        loss, norm = self._values.tolist()
        quantity, value = ("gradient norm", norm) if isfinite(loss) else ("loss", loss)
        raise NonFiniteError(quantity, value, int(self._position))


@contextmanager
def unchanged_unless(condition: Tensor, optimiser: Optimizer) -> Iterator[None]:
    """Undo, on the device, what the block does to the weights where the condition is false.

    Args:
        condition: One bool.
        optimiser: Of the weights; those without a gradient are left alone.
    """
    weights = [
        weight.detach()
        for group in optimiser.param_groups
        for weight in group["params"]
        if weight.grad is not None
    ]
    before = [weight.clone() for weight in weights]
    yield
    for weight, old in zip(weights, before, strict=True):
        torch.where(condition, weight, old, out=weight)
