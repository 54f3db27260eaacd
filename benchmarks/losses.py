"""NT-Xent as one cross-entropy, against the list of pairs."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks.harness import Row, Setting, side_by_side
from benchmarks.plain import plain_nt_xent
from sparta_ray.losses.nt_xent import nt_xent


def measure(setting: Setting) -> Iterator[Row]:
    """Compare one loss of 2 x 126 projections, and both of a step with their gradients."""
    rows = 12 if setting.quick else 126
    z = torch.randn(3, rows, 128, requires_grad=True)
    forward = side_by_side(
        lambda: nt_xent(z[0], z[1], 0.3), lambda: plain_nt_xent(z[0], z[1], 0.3), setting.repeats
    )
    yield Row(
        f"NT-Xent of 2 x {rows}", "ms", forward.ours * 1e3, forward.plain * 1e3, forward.ratio,
        "≥ 100", forward.ratio >= 100,
    )  # fmt: skip

    def step(loss: Callable[[Tensor, Tensor, float], Tensor]) -> None:
        (gradient,) = torch.autograd.grad(loss(z[0], z[1], 0.3) + loss(z[0], z[2], 0.3), z)
        assert gradient.shape == z.shape

    both = side_by_side(lambda: step(nt_xent), lambda: step(plain_nt_xent), setting.repeats)
    yield Row("both of a step, with gradients", "ms", both.ours * 1e3, both.plain * 1e3, both.ratio,
              "≥ 100", both.ratio >= 100)  # fmt: skip
