"""Robustness: what is left of a day as more and more of it is hidden, in every place and shape."""

import numpy as np
import xarray as xr

from sparta_ray.base.seeding import derive_seed
from sparta_ray.data.plan.mask_shapes import Block, MaskShape, Points, Stations, Swath, Variables
from sparta_ray.data.plan.masking import MaskConfig, MaskPlace
from sparta_ray.evaluation.generation import evenly
from sparta_ray.evaluation.results import Results
from sparta_ray.evaluation.setup import Setup
from sparta_ray.evaluation.truth import Days
from sparta_ray.metrics.field_comparison import FieldComparison
from sparta_ray.metrics.fields import StandardisedError
from sparta_ray.metrics.latent_space import cosines
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
    x_TVXY, truth = setup.store.read_standardised(days), setup.truth.fields(days)
    embedder = setup.latents(kind).embedder
    whole_TD = embedder.encode_unmasked(x_TVXY).numpy()
    centre_D = whole_TD.mean(axis=0)
    seed, standardised = derive_seed(setup.run.seed, "robustness"), StandardisedError()

    def measures(mask: MaskConfig) -> tuple[float, float]:
        h_TD = embedder.encode_masked(x_TVXY, mask, seed, days)
        decoded = setup.truth.labelled(embedder.decode_physical(h_TD))
        pair = FieldComparison(decoded, truth, std=setup.store.statistics.std)
        error = standardised.result(standardised.statistics(pair).sum(axis=1))
        agreement = cosines(h_TD.numpy() - centre_D, whole_TD - centre_D)
        return float(error), float(agreement.mean())

    found = np.full((len(MEASURES), len(PLACES), len(SHAPES), len(ratios)), np.nan)
    for p, place in enumerate(PLACES):
        for s, shape in enumerate(SHAPES):
            if isinstance(shape, Variables) and len(setup.store.variables) == 1:
                continue  # it hides some of the variables, never all
            for r, ratio in enumerate(ratios):
                mask = MaskConfig(ratio=(ratio, ratio), on=place, shape=shape)
                found[:, p, s, r] = measures(mask)
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


def _days(setup: Setup) -> Days:
    chosen = evenly(len(setup.parts["test"]), setup.run.evaluation.robustness_days)
    return setup.test_days[chosen]
