"""Rows of all ranks, joined so that a loss sees the global batch and its gradient flows back."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional


def gather_rows(x_B: Tensor) -> Tensor:
    """Return every rank's rows, in rank order; the identity without a process group.

    Each rank may hold a different number of rows. The gradient of a sum over ranks reaches every
    row, so the average that DDP takes over ranks is the gradient of the loss itself.

    Args:
        x_B: This rank's rows, shape (B_rank, …).

    Returns:
        All rows, shape (sum of B_rank, …).
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x_B
    rows = torch.tensor([len(x_B)], device=x_B.device)
    counts = [torch.zeros_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, rows)
    sizes = [int(count) for count in counts]
    padded = functional.pad(x_B, [0, 0] * (x_B.ndim - 1) + [0, max(sizes) - len(x_B)])
    parts: Tensor = _AllGather.apply(padded)  # type: ignore[no-untyped-call]
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


class _AllGather(torch.autograd.Function):
    """Stacks every rank's tensor; its gradient is the sum of what all ranks made of it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous()
        dist.all_reduce(total)
        return total[dist.get_rank()]


def average_over_ranks(values: dict[str, float]) -> dict[str, float]:
    """Return each value's mean over the ranks; all ranks must ask for the same names."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return values
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    total = torch.tensor([values[name] for name in sorted(values)], device=device)
    dist.all_reduce(total)
    mean = total / dist.get_world_size()
    return dict(zip(sorted(values), mean.tolist(), strict=True))
