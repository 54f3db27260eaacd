"""Expansion: a compact batch becomes views on the training device."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sparta_ray.data.compact import CompactBatch
from sparta_ray.data.masking import apply_mask, unpack_mask
from sparta_ray.data.views import ViewOperator

_BOOKKEEPING = ("position", "global_rows")


@dataclass(frozen=True)
class Fields:
    """Raw standardised fields of a row's day and its two neighbours, each (B, V, X, Y)."""

    day: Tensor
    after: Tensor | None
    before: Tensor | None


@dataclass(frozen=True)
class Views:
    """What the encoder sees, each (B, V, I, J); None where the stage does not look.

    Attributes:
        anchor: Contrastive view of the day, not masked.
        after: Masked contrastive view of the later neighbour.
        before: Masked contrastive view of the earlier neighbour.
        input: Masked view of the day without crop or filter.
        fields: The fields the views were made from.
    """

    anchor: Tensor | None
    after: Tensor | None
    before: Tensor | None
    input: Tensor | None
    fields: Fields


def to_device(batch: CompactBatch, device: torch.device) -> dict[str, Tensor]:
    """Copy a batch's parts out of shared memory, where nothing may be changed, to a device."""
    parts = {name: array for name, array in batch.items() if name not in _BOOKKEEPING}
    return {name: torch.tensor(array, device=device) for name, array in parts.items()}


def expand(batch: dict[str, Tensor], operator: ViewOperator) -> Views:
    """Resize, crop, smooth and mask a batch's fields into its views."""
    day = batch["day"]
    anchor = after = before = masked_input = None
    if "after" in batch:
        crop, masks = batch["crop"], batch["neighbour_masks"]
        anchor = operator.cropped(day, crop[:, 0])
        after = _masked(operator.cropped(batch["after"], crop[:, 1]), masks[:, 0])
        before = _masked(operator.cropped(batch["before"], crop[:, 2]), masks[:, 1])
    if "input_mask" in batch:
        masked_input = _masked(operator.resized(day), batch["input_mask"])
    fields = Fields(day, batch.get("after"), batch.get("before"))
    return Views(anchor, after, before, masked_input, fields)


def _masked(view_BVIJ: Tensor, bits_BN: Tensor) -> Tensor:
    return apply_mask(view_BVIJ, unpack_mask(bits_BN, tuple(view_BVIJ.shape[1:])))
