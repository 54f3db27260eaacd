"""Batch norm over the rows of all ranks, so that several workers compute what one would.

In a single process it is PyTorch's own, bit for bit. PyTorch's ``SyncBatchNorm`` runs on GPUs only,
and uses each rank's own rows in eval mode.

Legend: B rows, C channels, R ranks.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sparta_ray.base.distributed import all_gather_with_grad, world


class GlobalBatchNorm1d(nn.BatchNorm1d):
    """`nn.BatchNorm1d` with the statistics of all ranks' rows."""

    def forward(self, x_BC: Tensor) -> Tensor:
        """Return features of the same shape."""
        return _over_ranks(self, x_BC) if _spans_ranks(self) else super().forward(x_BC)


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` with the statistics of all ranks' rows."""

    def forward(self, x_BCIJ: Tensor) -> Tensor:
        """Return features of the same shape."""
        return _over_ranks(self, x_BCIJ) if _spans_ranks(self) else super().forward(x_BCIJ)


def _spans_ranks(norm: _BatchNorm) -> bool:
    """Return whether this call needs the statistics of a batch that several ranks share."""
    return world()[1] > 1 and (norm.training or norm.running_mean is None)


def _over_ranks(norm: _BatchNorm, x: Tensor) -> Tensor:
    """Normalise by the mean and variance of all ranks' values; in training, track them too.

    Every rank contributes its own mean, variance and number of values. The total variance is the
    mean of the variances plus the variance of the means, weighted by the number of values.
    """
    values = x.to(torch.promote_types(x.dtype, torch.float32))
    axes = [axis for axis in range(x.ndim) if axis != 1]
    variance_C, mean_C = torch.var_mean(values, axes, correction=0)
    count_C = torch.full_like(mean_C, values.numel() // values.shape[1])
    parts = all_gather_with_grad(torch.stack([mean_C, variance_C, count_C]))
    mean_RC, variance_RC, count_RC = parts.unbind(1)
    count_C = count_RC.detach().sum(0)
    share_RC = count_RC.detach() / count_C
    mean_C = (share_RC * mean_RC).sum(0)
    variance_C = (share_RC * (variance_RC + (mean_RC - mean_C).square())).sum(0)
    if norm.training and norm.running_mean is not None:
        _update_running_statistics(norm, mean_C.detach(), variance_C.detach(), count_C)
    shape = [-1 if axis == 1 else 1 for axis in range(x.ndim)]
    scale_C = norm.weight * (variance_C + norm.eps).rsqrt()
    y = (values - mean_C.view(shape)) * scale_C.view(shape) + norm.bias.view(shape)
    return y.to(x.dtype)


def _update_running_statistics(
    norm: _BatchNorm, mean_C: Tensor, variance_C: Tensor, count_C: Tensor
) -> None:
    """Move the running statistics towards those of a batch, with its unbiased variance."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    norm.running_mean.lerp_(mean_C, norm.momentum)
    norm.running_var.lerp_(variance_C * count_C / (count_C - 1), norm.momentum)
    norm.num_batches_tracked += 1
