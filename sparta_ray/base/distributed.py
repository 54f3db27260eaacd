"""Training processes: the rows of a batch that the ranks share, joined again.

Every join carries gradients. Where each rank takes the same loss of what was joined, the average
that DDP takes over the ranks is the gradient of that loss. Without a process group there is one
rank, and a join changes nothing.
"""

from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

from sparta_ray.base.shares import rank_rows

T = TypeVar("T")


def world() -> tuple[int, int]:
    """Return this process's rank and the number of ranks."""
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


def gather_rows(x_B: Tensor, rows: int) -> Tensor:
    """Return every rank's rows of a batch, in its order.

    Args:
        x_B: This rank's rows, shape (B_rank, …).
        rows: Rows of the batch, shared as of `rank_rows`.

    Returns:
        All rows, shape (rows, …).
    """
    rank, ranks = world()
    parts = [rank_rows(slice(0, rows), r, ranks) for r in range(ranks)]
    sizes = [part.stop - part.start for part in parts]
    assert len(x_B) == sizes[rank], f"rank {rank} of {ranks} has {len(x_B)} of {rows} rows"
    if ranks == 1:
        return x_B
    padded = functional.pad(x_B, [0, 0] * (x_B.ndim - 1) + [0, max(sizes) - len(x_B)])
    stacked = all_gather_with_grad(padded)
    return torch.cat([part[:size] for part, size in zip(stacked, sizes, strict=True)])


def all_gather_with_grad(x: Tensor) -> Tensor:
    """Return every rank's tensor, all of one shape, stacked in rank order."""
    if world()[1] == 1:
        return x[None]
    stacked: Tensor = _Stack.apply(x)  # type: ignore[no-untyped-call]
    return stacked


def sum_over_ranks(x: Tensor) -> Tensor:
    """Return the sum of every rank's tensor."""
    if world()[1] == 1:
        return x
    total: Tensor = _Sum.apply(x)  # type: ignore[no-untyped-call]
    return total


def gather_objects(thing: T) -> list[T]:
    """Return every rank's object, in rank order; for what is small and rare."""
    ranks = world()[1]
    if ranks == 1:
        return [thing]
    things: list[Any] = [None] * ranks
    dist.all_gather_object(things, thing)
    return things


def mean_over_ranks(x: Tensor) -> Tensor:
    """Return the mean of all ranks' values, of which each may hold another number."""
    if world()[1] == 1:
        return x.mean()
    total, count = sum_over_ranks(torch.stack([x.sum(), x.new_tensor(x.numel())])).unbind()
    return total / count


class _Stack(torch.autograd.Function):
    """Its gradient is the sum of what all ranks made of this rank's tensor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total[dist.get_rank()]


class _Sum(torch.autograd.Function):
    """Its gradient is the sum of the gradients of all ranks' sums."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total
