"""Reconstruction of masked test days, beside the mean field and climatology."""

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from sparta_ray.data.views import bicubic_matrix, nearest_cells
from sparta_ray.downstream.latents import Latents
from sparta_ray.evaluation.results import Results
from sparta_ray.evaluation.score_record import Score
from sparta_ray.evaluation.setup import Setup
from sparta_ray.evaluation.truth import Subject, field_scores

STREAM = "test"
"""Masks of the test days: the same for every model and task that looks at them."""


def evaluate_reconstruction(setup: Setup) -> Results:
    """Decode the embedding of every masked test day and compare with the whole field."""
    results = Results()
    days = setup.test_days
    truth = setup.truth.fields(days)
    candidates = {}
    for kind in setup.run.models:
        latents = setup.latents(kind)
        h_TD = latents.masked(setup.parts["test"], setup.run.downstream.mask, STREAM)
        candidates[kind] = setup.truth.labelled(latents.embedder.decode_physical(h_TD))
        shown = len(days) // 2
        results.arrays[f"map-reconstruction-{kind}"] = _panels(
            setup, latents, int(days[shown]), candidates[kind].values[shown]
        )
    baselines = {
        "climatology": setup.truth.climatology(days),
        "mean field": setup.truth.mean(days),
    }
    for model, fields in (candidates | baselines).items():
        subject = Subject("reconstruction", model)
        results.scores.extend(field_scores(subject, fields, truth, setup.truth.limits))
        results.scores.append(_standardised_error(setup, subject, fields, truth))
    return results


def _standardised_error(
    setup: Setup, subject: Subject, fields: xr.DataArray, truth: xr.DataArray
) -> Score:
    """Return the training loss of these fields: Eq. 17, in standardised units."""
    variance = xr.DataArray(setup.store.statistics.std**2, dims="variable")
    error = ((fields - truth) ** 2).mean(("window", "longitude", "latitude"))
    return subject.score(
        "standardised error", float((error.drop_vars("variable") / variance).sum())
    )


def _panels(
    setup: Setup, latents: Latents, day: int, decoded_VXY: NDArray[np.float32]
) -> xr.DataArray:
    """Return truth, masked input, reconstruction and error of a day, on the views' finer grid."""
    view, kept = latents.masked_view(day, setup.run.downstream.mask, STREAM)
    hidden = torch.where(kept, view, torch.nan).cpu().numpy()
    finer_truth = _finer(setup, setup.store.read(np.array([day]))[0])
    finer_decoded = _finer(setup, decoded_VXY)
    layers = {
        "truth": finer_truth,
        "masked input": setup.store.to_physical(hidden),
        "reconstruction": finer_decoded,
        "error": finer_decoded - finer_truth,
    }
    return xr.DataArray(
        np.stack(list(layers.values())).astype(np.float32),
        dims=("panel", "variable", "longitude", "latitude"),
        coords={
            "panel": list(layers),
            "variable": list(setup.store.variables),
            "longitude": _resized_axis(setup.store.longitude, setup.run.views.crop[0]),
            "latitude": _resized_axis(setup.store.latitude, setup.run.views.crop[1]),
        },
        attrs={"day": str(setup.store.days[day])},
    )


def _finer(setup: Setup, fields_VXY: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return fields resized to the view; NaN where the nearest value is missing."""
    missing = np.isnan(fields_VXY)
    if missing.any():  # points beside a gap are interpolated towards the mean, not towards 0 K
        mean = setup.store.statistics.mean.astype(np.float32)[:, None, None]
        fields_VXY = np.where(missing, mean, fields_VXY)
    grid, view = setup.store.grid, setup.run.views.crop
    x, y = (bicubic_matrix(*sizes) for sizes in zip(grid, view, strict=True))
    across, up = (nearest_cells(*sizes) for sizes in zip(grid, view, strict=True))
    finer = x @ fields_VXY @ y.T
    return np.where(missing[:, across][..., up], np.nan, finer).astype(np.float32)


def _resized_axis(centres: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return the coordinates of a resized axis: `size` half-pixel centres over the same cells."""
    step = (centres[-1] - centres[0]) / (len(centres) - 1)
    first_edge = centres[0] - step / 2
    axis: NDArray[np.float64] = first_edge + (np.arange(size) + 0.5) * step * len(centres) / size
    return axis
