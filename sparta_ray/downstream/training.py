"""What downstream trainings share: per-epoch embeddings, seeds, batches and one pass.

Shape legend: T day, B batch row, D embedding.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

LatentsOfEpoch = Callable[[int], Tensor]
"""Gives the (days, D) embeddings of all training days for one epoch, from freshly drawn masks."""

OnEpoch = Callable[[int, Mapping[str, float]], None]
"""Receives the epoch, counted from 0, and its mean losses and learning rate."""


def latents_for(latents: LatentsOfEpoch, epoch: int, like_TD: Tensor) -> Tensor:
    """Return one epoch's embeddings on the device of `like_TD`.

    Args:
        latents: Called once.
        epoch: Counted from 0.
        like_TD: Embeddings (any number of days, D) that these must agree with in D.

    Raises:
        ValueError: The embeddings are not (days, D).
    """
    h_TD = latents(epoch)
    if h_TD.ndim != 2 or h_TD.shape[1] != like_TD.shape[-1]:
        raise ValueError(
            f"training embeddings of epoch {epoch} have shape {tuple(h_TD.shape)}, validation "
            f"ones {tuple(like_TD.shape)}: encode both with the same encoder, one row a day"
        )
    return h_TD.to(like_TD.device)


@contextmanager
def repeatable(seed: int, device: torch.device) -> Iterator[None]:
    """Let initialisation, dropout and noise inside depend on `seed` only, and leave no trace.

    Args:
        seed: From `derive_seed`.
        device: Where the draws are made; CPU draws are seeded on every device.
    """
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        for one in cuda:
            with torch.cuda.device(one):
                torch.cuda.manual_seed(seed)
        yield


def minibatches(rows: int, batch_size: int, seed: int, fewest: int = 1) -> Sequence[Tensor]:
    """Shuffle the row numbers 0 … rows - 1 and cut them into batches.

    The short last batch is kept. If it has fewer than `fewest` rows, which batch norm cannot
    use, it joins the batch before: 5 rows in twos give sizes 2, 2, 1, or 2, 3 with fewest = 2.

    Args:
        rows: How many rows there are.
        batch_size: Rows a batch.
        seed: The order depends on it alone, on every device.
        fewest: Rows the last batch needs to stand alone.
    """
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    batches = list(torch.split(order, batch_size))
    if len(batches) > 1 and len(batches[-1]) < fewest:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def train_epoch(
    model: nn.Module,
    optimiser: Optimizer,
    batches: Sequence[Tensor],
    loss_of: Callable[[Tensor], Tensor],
) -> float:
    """Take one optimiser step a batch and return the mean training loss over rows.

    Args:
        model: Put in training mode.
        optimiser: Holds the model's parameters.
        batches: Row numbers of each batch.
        loss_of: Mean loss, a scalar, over the given rows.

    Raises:
        ValueError: The loss is not a finite number.
    """
    model.train()
    losses = []
    for rows_B in batches:
        loss = loss_of(rows_B)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.detach())
    return _mean_over_rows(losses, batches)


@torch.no_grad()
def mean_loss(rows: int, batch_size: int, loss_of: Callable[[Tensor], Tensor]) -> float:
    """Return the mean loss over rows 0 … rows - 1, in order, without gradients.

    Args:
        rows: How many rows there are.
        batch_size: Rows a batch.
        loss_of: Mean loss, a scalar, over the given rows.

    Raises:
        ValueError: The loss is not a finite number.
    """
    batches = torch.split(torch.arange(rows), batch_size)
    return _mean_over_rows([loss_of(rows_B) for rows_B in batches], batches)


def _mean_over_rows(losses: Sequence[Tensor], batches: Sequence[Tensor]) -> float:
    rows = torch.tensor([len(rows_B) for rows_B in batches], dtype=torch.float64)
    # One transfer for all batches: reading each loss would make the device wait at every step.
    mean = float((torch.stack(list(losses)).double().cpu() * rows).sum() / rows.sum())
    if not math.isfinite(mean):
        raise ValueError(
            f"the loss became {mean}: lower the learning rate, or look for missing or infinite "
            "values in the embeddings"
        )
    return mean
