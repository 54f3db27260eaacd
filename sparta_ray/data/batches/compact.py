"""Compact batches: what a plan row looks up, before it is expanded on the training device.

A published row is 142 KB (three raw fields, crop offsets, masks as bits) where its views would
be 952 KB; 81 KB with half-precision fields.
"""

from dataclasses import dataclass as plain_dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT
from sparta_ray.data.plan.mask_shapes import MapSize, MaskShape
from sparta_ray.data.plan.masking import MaskConfig, draw_mask, packed_size
from sparta_ray.data.plan.sampling import Plan
from sparta_ray.data.plan.seasons import season_of
from sparta_ray.data.plan.views import ViewConfig
from sparta_ray.data.store.store import Store

CompactBatch = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BatchConfig:
    """How batches travel from the CPU workers to the training device.

    Attributes:
        fields: Type of the fields in a batch; ``float16`` halves the bytes and rounds standardised
            values to 3 digits.
    """

    fields: Literal["float32", "float16"] = "float32"


@plain_dataclass(frozen=True)
class Needs:
    """Which parts of a row a stage's loss looks at; nothing else is read or drawn.

    Attributes:
        contrastive: The two neighbours, three crops and two masks.
        input: The mask of the input view.
        labels: When the day was: its time step and season.
    """

    contrastive: bool
    input: bool
    labels: bool = False


def row_bytes(
    variables: int,
    grid: tuple[int, int],
    views: ViewConfig,
    mask: MaskConfig,
    config: BatchConfig,
) -> int:
    """Return the bytes of a row that holds all parts: three fields, three masks, three crops.

    >>> row_bytes(5, (64, 32), ViewConfig(), MaskConfig(), BatchConfig())
    142332
    """
    field = variables * grid[0] * grid[1] * np.dtype(config.fields).itemsize
    masked = packed_size(int(np.prod(mask.size(variables, grid, views.crop))))
    return 3 * field + 3 * masked + 3 * 2 * np.dtype(np.int16).itemsize


def build_batch(
    store: Store,
    plan: Plan,
    rows: slice,
    views: ViewConfig,
    mask: MaskConfig,
    needs: Needs,
    config: BatchConfig | None = None,
) -> CompactBatch:
    """Look up some rows of a plan.

    Args:
        store: The fields.
        plan: One epoch.
        rows: Which of its rows.
        views: Sizes of the views.
        mask: Where masks fall, and in what shape.
        needs: Which parts to fill.
        config: How fields travel; None for the default.

    Returns:
        ``day`` (R, V, X, Y) standardised, NaN where missing; if contrastive ``after`` and
        ``before`` likewise, ``crop`` (R, 3, 2) and ``neighbour_masks`` (R, 2, N) packed bits; if
        input ``input_mask`` (R, N). Masks on the grid are called ``neighbour_masks_on_grid`` and
        ``input_mask_on_grid``. Where the store may miss values, ``gaps`` (R,) tells which rows do.
        If labels, ``step`` (R,) counts the store's steps and ``season`` (R,) is as of `season_of`.
    """
    day, delta = plan.day[rows], plan.delta[rows]
    days = {"day": day}
    if needs.contrastive:
        days |= {"after": day + delta, "before": day - delta}
    precision = (config or BatchConfig()).fields
    # Read at once: whatever block of a source or bucket several of them lie in is read once.
    read = store.read_standardised(np.concatenate(list(days.values())))
    parts = np.split(read.astype(precision, copy=False), len(days))
    fields = dict(zip(days, parts, strict=True))
    batch: CompactBatch = {**fields}
    if store.may_miss_values:
        gaps = [np.isnan(field).any(axis=(1, 2, 3)) for field in fields.values()]
        batch["gaps"] = np.logical_or.reduce(gaps)
    place = "_on_grid" if mask.on == "grid" else ""
    size = mask.size(len(store.variables), store.grid, views.crop)
    if needs.contrastive:
        batch["crop"] = plan.crop[rows]
        batch[f"neighbour_masks{place}"] = _draw_masks(plan, rows, (0, 1), mask.shape, size)
    if needs.input:
        batch[f"input_mask{place}"] = _draw_masks(plan, rows, (2,), mask.shape, size)[:, 0]
    if needs.labels:
        batch |= {"step": day, "season": season_of(store.days[day])}
    return batch


def _draw_masks(
    plan: Plan, rows: slice, views: tuple[int, ...], shape: MaskShape, size: MapSize
) -> NDArray[np.uint8]:
    seeds, ratios = plan.mask_seed[rows], plan.mask_ratio[rows]
    masks = np.empty((len(seeds), len(views), packed_size(int(np.prod(size)))), dtype=np.uint8)
    for row in range(len(seeds)):
        for column, view in enumerate(views):
            seed, ratio = int(seeds[row, view]), float(ratios[row, view])
            masks[row, column] = draw_mask(shape, seed, ratio, size)
    return masks
