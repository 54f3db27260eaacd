"""Compact batches: what a plan row looks up, before it is expanded on the training device.

A published row is 142 KB (three raw fields, crop offsets, masks as bits) where its views would
be 952 KB.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparta_ray.data.masking import draw_mask, packed_size
from sparta_ray.data.sampling import Plan
from sparta_ray.data.store import Store

CompactBatch = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Needs:
    """Which parts of a row a stage's loss looks at; nothing else is read or drawn.

    Attributes:
        contrastive: The two neighbours, three crops and two masks.
        input: The mask of the input view.
    """

    contrastive: bool
    input: bool


def build_batch(
    store: Store, plan: Plan, rows: slice, view_size: tuple[int, int], needs: Needs
) -> CompactBatch:
    """Look up some rows of a plan.

    Args:
        store: The fields.
        plan: One epoch.
        rows: Which of its rows.
        view_size: Size (I, J) of the views the masks are for.
        needs: Which parts to fill.

    Returns:
        ``day`` (R, V, X, Y) standardised float32; if contrastive ``after`` and ``before`` likewise,
        ``crop`` (R, 3, 2) and ``neighbour_masks`` (R, 2, N) packed bits; if input
        ``input_mask`` (R, N).
    """
    day, delta = plan.day[rows], plan.delta[rows]
    values = len(store.variables) * view_size[0] * view_size[1]
    batch: CompactBatch = {"day": store.read_standardised(day)}
    if needs.contrastive:
        batch["after"] = store.read_standardised(day + delta)
        batch["before"] = store.read_standardised(day - delta)
        batch["crop"] = plan.crop[rows]
        batch["neighbour_masks"] = _draw_masks(plan, rows, (0, 1), values)
    if needs.input:
        batch["input_mask"] = _draw_masks(plan, rows, (2,), values)[:, 0]
    return batch


def _draw_masks(plan: Plan, rows: slice, views: tuple[int, ...], values: int) -> NDArray[np.uint8]:
    seeds, ratios = plan.mask_seed[rows], plan.mask_ratio[rows]
    masks = np.empty((len(seeds), len(views), packed_size(values)), dtype=np.uint8)
    for row in range(len(seeds)):
        for column, view in enumerate(views):
            masks[row, column] = draw_mask(int(seeds[row, view]), ratios[row, view], values)
    return masks
