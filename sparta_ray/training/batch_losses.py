"""The losses of a batch: views made on the device, dropout drawn from a seed, the networks run."""

import torch
from torch import Tensor, nn

from sparta_ray.data.batches.compact import CompactBatch
from sparta_ray.data.batches.expand import Views, expand, to_device
from sparta_ray.data.batches.view_operator import ViewOperator
from sparta_ray.training.precision import Precision
from sparta_ray.training.stage_module import Terms


def batch_losses(
    forward: nn.Module,
    operator: ViewOperator,
    batch: CompactBatch,
    epoch: int,
    seed: int,
    precision: Precision,
) -> Terms:
    """Return the losses of a compact batch.

    Args:
        forward: A stage's module, in training or eval mode.
        operator: Expands fields into views, on the training device.
        batch: This rank's rows.
        epoch: From 0.
        seed: Of dropout, the same on every rank.
        precision: ``bfloat16`` for autocast.
    """
    views = batch_views(batch, operator)
    return seeded_losses(forward, seed, precision, views, epoch, int(batch["global_rows"][0]))


def batch_views(batch: CompactBatch, operator: ViewOperator) -> Views:
    """Return the views of a compact batch, on the operator's device and in its number format."""
    return expand(to_device(batch, operator.crop_x.device, operator.crop_x.dtype), operator)


def seeded_losses(
    forward: nn.Module, seed: int, precision: Precision, views: Views, *arguments: object
) -> Terms:
    """Return what a stage's module makes of views, dropout drawn from the seed."""
    torch.manual_seed(seed)
    device = views.fields.day.device
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        terms: Terms = forward(views, *arguments)
    return terms


def norm_of_gradient(module: nn.Module) -> Tensor:
    """Return the length of the gradient of all parameters that have one."""
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    return torch.nn.utils.get_total_norm(gradients)
