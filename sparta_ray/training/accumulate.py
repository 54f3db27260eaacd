"""A batch taken in parts, one after the other, with the loss and the gradient of all of it.

Only where rows do not meet before the loss is a sum: they do in batch norms and contrastive losses.

Legend: B rows, V variables.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from sparta_ray.base.distributed import world
from sparta_ray.data.batches.expand import Views
from sparta_ray.losses.reconstruction import total_weight
from sparta_ray.training.stage_module import BatchPart, StageModule, Terms


def accumulate(
    losses: Callable[..., Terms],
    forward: nn.Module,
    views: Views,
    epoch: int,
    rows: int,
    parts: int,
) -> Terms:
    """Add the gradients of a batch's parts to the parameters and return the losses' sums.

    Args:
        losses: Returns what `forward` makes of views, epoch, rows and a part.
        forward: A decode stage's module, or the same wrapped for several ranks.
        views: This rank's rows.
        epoch: From 0.
        rows: Rows of the batch, on all ranks.
        parts: Their number; fewer where some rank has fewer rows.
    """
    module = forward.module if isinstance(forward, DistributedDataParallel) else forward
    assert isinstance(module, StageModule)
    weight_V = total_weight(views.fields.day, views.fields.gaps, module.area)
    total: Terms = {}
    sections = list(_sections(views, min(parts, rows // world()[1])))
    for first_row, section in sections:
        with _gathering(forward, is_last=section is sections[-1][1]):
            terms = losses(section, epoch, rows, BatchPart(first_row, weight_V))
            terms["loss"].backward()  # type: ignore[no-untyped-call]
        for name, value in terms.items():
            total[name] = total[name] + value.detach() if name in total else value.detach()
    return total


def _sections(views: Views, parts: int) -> Iterator[tuple[int, Views]]:
    """Yield consecutive rows of the input view and the day's field, and the first's number."""
    assert views.input is not None
    first_row = 0
    days = views.fields.day.tensor_split(parts)
    for view, day in zip(views.input.tensor_split(parts), days, strict=True):
        yield first_row, replace(views, input=view, fields=replace(views.fields, day=day))
        first_row += len(day)


def _gathering(forward: nn.Module, is_last: bool) -> AbstractContextManager[None]:
    """Let ranks average their gradients once, after the last part."""
    if isinstance(forward, DistributedDataParallel) and not is_last:
        waiting: AbstractContextManager[None] = forward.no_sync()
        return waiting
    return nullcontext()
