"""Robustness: what is left of a day as more and more of it is hidden, in every place and shape."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from sparta_ray.base.grids import Grid
from sparta_ray.base.seeding import derive_seed
from sparta_ray.data.plan.mask_shapes import Block, MaskShape, Points, Stations, Swath, Variables
from sparta_ray.data.plan.masking import MaskConfig, MaskPlace
from sparta_ray.data.store.day_blocks import day_blocks
from sparta_ray.evaluation.generation import evenly
from sparta_ray.evaluation.results import Results
from sparta_ray.evaluation.setup import Setup
from sparta_ray.evaluation.truth import Days
from sparta_ray.metrics.field_comparison import FieldComparison
from sparta_ray.metrics.fields import StandardisedError
from sparta_ray.metrics.latent_space import cosines
from sparta_ray.metrics.metric import Floats
from sparta_ray.training.stages import ModelKind

PLACES: tuple[MaskPlace, ...] = ("view", "grid")
SHAPES: tuple[MaskShape, ...] = (Points(), Swath(), Block(), Stations(), Variables())
MEASURES = ("standardised error", "agreement")


def evaluate_robustness(setup: Setup, kind: ModelKind) -> Results:
    """Mask the same test days by every ratio, place and shape; decode and compare.

    Returns:
        An array ``robustness-<kind>`` with dims (measure, place, shape, ratio). The standardised
        error is that of the reconstruction; agreement is the cosine of the masked and the whole
        day's embeddings, less the mean of the whole ones: 1 if nothing is lost.
    """
    ratios, days = setup.run.evaluation.robustness_ratios, _days(setup)
    found = np.full((len(MEASURES), len(PLACES), len(SHAPES), len(ratios)), np.nan)
    regional = not Grid(setup.store.longitude, setup.store.latitude).is_global
    masks = {
        (p, s, r): MaskConfig(ratio=(ratio, ratio), on=place, shape=shape)
        for p, place in enumerate(PLACES)
        for s, shape in enumerate(SHAPES)
        if not (isinstance(shape, Variables) and len(setup.store.variables) == 1)
        and (not regional or isinstance(shape, (Points, Variables)))
        for r, ratio in enumerate(ratios)
    }  # variables hide some of them, never all; other shapes are laid out over the whole globe
    for place, measures in _measure(setup, kind, days, masks).items():
        found[:, *place] = measures
    array = xr.DataArray(
        found,
        dims=("measure", "place", "shape", "ratio"),
        coords={
            "measure": list(MEASURES),
            "place": list(PLACES),
            "shape": [shape.kind for shape in SHAPES],
            "ratio": list(ratios),
        },
        attrs={"days": len(days)},
    )
    return Results(arrays={f"robustness-{kind}": array})


_Place = tuple[int, int, int]


def _measure(
    setup: Setup, kind: ModelKind, days: Days, masks: Mapping[_Place, MaskConfig]
) -> dict[_Place, tuple[float, float]]:
    """Return the standardised error and the agreement of days under each of some masks.

    Fields of a few days at a time are in memory, under one mask after another.
    """
    latents, standardised = setup.latents(kind), StandardisedError()
    whole_TD = latents.of_days(days).numpy()
    centre_D = whole_TD.mean(axis=0)
    seed, std = derive_seed(setup.run.seed, "robustness"), setup.store.statistics.std
    errors: dict[_Place, list[Floats]] = {place: [] for place in masks}
    agreements: dict[_Place, list[Floats]] = {place: [] for place in masks}
    done = 0
    for some in day_blocks(days):
        x_TVXY, truth = setup.store.read_standardised(some), setup.truth.fields(some)
        whole, done = whole_TD[done : done + len(some)] - centre_D, done + len(some)
        for place, mask in masks.items():
            h_TD = latents.embedder.encode_masked(x_TVXY, mask, seed, some)
            decoded = setup.truth.labelled(latents.embedder.decode_physical(h_TD))
            pair = FieldComparison(decoded, truth, std=std)
            errors[place].append(standardised.statistics(pair))
            agreements[place].append(cosines(h_TD.numpy() - centre_D, whole))
    return {
        place: (
            float(standardised.result(np.concatenate(errors[place], axis=1).sum(axis=1))),
            float(np.concatenate(agreements[place]).mean()),
        )
        for place in masks
    }


def _days(setup: Setup) -> Days:
    chosen = evenly(len(setup.parts["test"]), setup.run.evaluation.robustness_days)
    return setup.test_days[chosen]
