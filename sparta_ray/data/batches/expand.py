"""Expansion: a compact batch becomes views on the training device.

Hidden and missing values become 0, the mean of standardised data. What is hidden on the grid is
hidden before the field is interpolated, and so are the view's points whose nearest cell it is:
nothing of it can be read off its surroundings.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sparta_ray.data.batches.compact import CompactBatch
from sparta_ray.data.batches.view_operator import ViewOperator

_BOOKKEEPING = ("position", "global_rows")


@dataclass(frozen=True)
class Fields:
    """Raw standardised fields of a row's day and its two neighbours, each (B, V, X, Y).

    Attributes:
        day: Field of the day.
        after: Field of the later neighbour; None where the stage does not look.
        before: Field of the earlier neighbour; None likewise.
        gaps: Whether they may hold NaN, which is a missing value.
    """

    day: Tensor
    after: Tensor | None
    before: Tensor | None
    gaps: bool = False


@dataclass(frozen=True)
class Views:
    """What the encoder sees, each (B, V, I, J); None where the stage does not look.

    With mask channels each has 2 V channels, see `ViewOperator.encoder_input`.

    Attributes:
        anchor: Contrastive view of the day, not masked.
        after: Masked contrastive view of the later neighbour.
        before: Masked contrastive view of the earlier neighbour.
        input: Masked view of the day without crop or filter.
        fields: The fields the views were made from.
        step: Time step of each row's day, (B,); None where the stage does not look.
        season: Its season, (B,); None likewise.
    """

    anchor: Tensor | None
    after: Tensor | None
    before: Tensor | None
    input: Tensor | None
    fields: Fields
    step: Tensor | None = None
    season: Tensor | None = None


def to_device(
    batch: CompactBatch, device: torch.device, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """Copy a batch's parts out of shared memory, where nothing may be changed, to a device.

    Fields are at least of `dtype` from here on; ``gaps`` is left out where no row has any.
    """
    return {
        name: at_least(torch.tensor(array, device=device), dtype)
        for name, array in looked_at(batch).items()
    }


def looked_at(batch: CompactBatch) -> CompactBatch:
    """Return the parts of a batch that views are made from."""
    complete = not batch["gaps"].any() if "gaps" in batch else True
    unused = (*_BOOKKEEPING, "gaps") if complete else _BOOKKEEPING
    return {name: array for name, array in batch.items() if name not in unused}


def at_least(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return fields in the finer of their own number format and `dtype`, all else as it is."""
    return x.to(torch.promote_types(x.dtype, dtype)) if x.is_floating_point() else x


def expand(batch: dict[str, Tensor], operator: ViewOperator) -> Views:
    """Resize, crop, smooth and mask a batch's fields into its views."""
    gaps = "gaps" in batch
    fields = Fields(batch["day"], batch.get("after"), batch.get("before"), gaps)

    def masked(
        x_BVXY: Tensor, masks: str, number: int | None = None, offset_B2: Tensor | None = None
    ) -> Tensor:
        on_grid = _unpacked(batch, f"{masks}_on_grid", number, tuple(x_BVXY.shape[1:]))
        on_view = _unpacked(batch, masks, number, (x_BVXY.shape[1], *operator.view_size))
        view = sparse_view(x_BVXY, operator, offset_B2, on_grid, on_view, gaps)
        return operator.encoder_input(*view)

    anchor = after = before = masked_input = None
    if fields.after is not None and fields.before is not None:
        crop = batch["crop"]
        whole = sparse_view(fields.day, operator, crop[:, 0], gaps=gaps)
        anchor = operator.encoder_input(*whole)
        after = masked(fields.after, "neighbour_masks", 0, crop[:, 1])
        before = masked(fields.before, "neighbour_masks", 1, crop[:, 2])
    if "input_mask" in batch or "input_mask_on_grid" in batch:
        masked_input = masked(fields.day, "input_mask")
    labels = batch.get("step"), batch.get("season")
    return Views(anchor, after, before, masked_input, fields, *labels)


def _unpacked(
    batch: dict[str, Tensor], name: str, number: int | None, shape: tuple[int, ...]
) -> Tensor | None:
    """Unpack a batch's masks of a name, one of several by its number; None if it has none."""
    if name not in batch:
        return None
    return unpack_mask(batch[name] if number is None else batch[name][:, number], shape)


def sparse_view(
    x_BVXY: Tensor,
    operator: ViewOperator,
    offset_B2: Tensor | None = None,
    on_grid: Tensor | None = None,
    on_view: Tensor | None = None,
    gaps: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Make the view of fields of which only a part is seen.

    Args:
        x_BVXY: Standardised fields.
        operator: Makes views.
        offset_B2: Crop offsets of a contrastive view; None for the input view.
        on_grid: Which values of the fields are kept, (B, V, X, Y); None for all.
        on_view: Which values of the view are kept, (B, V, I, J); None for all.
        gaps: Whether fields may hold NaN, which is never kept.

    Returns:
        Views, 0 where hidden, and which of their values are seen, None for all.
    """
    if gaps:
        present = ~x_BVXY.isnan()
        on_grid = present if on_grid is None else on_grid & present
    if on_grid is not None:
        x_BVXY = apply_mask(x_BVXY, on_grid)
    view = operator.resized(x_BVXY) if offset_B2 is None else operator.cropped(x_BVXY, offset_B2)
    seen = on_view
    if on_grid is not None:
        shown = operator.nearest(on_grid, offset_B2)
        seen = shown if on_view is None else shown & on_view
    return (view if seen is None else apply_mask(view, seen)), seen


def unpack_mask(bits_RN: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Expand packed bits on their device.

    Args:
        bits_RN: uint8, shape (rows, packed_size(product of shape)).
        shape: Shape of one row's values.

    Returns:
        bool, shape (rows, *shape), True = kept.
    """
    shifts = torch.arange(7, -1, -1, device=bits_RN.device, dtype=torch.uint8)
    bits = (bits_RN.unsqueeze(-1) >> shifts) & 1
    size = int(np.prod(shape))
    return bits.flatten(1)[:, :size].bool().view(-1, *shape)


def apply_mask(x: Tensor, kept: Tensor) -> Tensor:
    """Set hidden values to 0, the mean of standardised data; `x` itself is not changed."""
    return torch.where(kept, x, x.new_zeros(()))
