"""Reconstruction of masked test days, beside the mean field and climatology."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from sparta_ray.data.plan.views import bicubic_matrix, nearest_cells
from sparta_ray.data.store.day_blocks import day_blocks
from sparta_ray.downstream.latents import Latents
from sparta_ray.evaluation.results import Results
from sparta_ray.evaluation.setup import STREAM, Setup
from sparta_ray.evaluation.truth import Days
from sparta_ray.metrics.case_sums import Cases
from sparta_ray.metrics.records import Subject
from sparta_ray.metrics.scoring import FieldSums


def evaluate_reconstruction(setup: Setup) -> Results:
    """Decode the embedding of every masked test day and compare with the whole field."""
    results, days = Results(), setup.test_days
    shown = days[[len(days) // 2]]
    for kind in setup.run.models:
        results.arrays[f"map-reconstruction-{kind}"] = _panels(
            setup, setup.latents(kind), int(shown[0]), setup.reconstructed(kind, shown).values[0]
        )
    sums = {model: FieldSums() for model in (*setup.run.models, "climatology", "mean field")}
    for some in day_blocks(days):
        _add_days(setup, some, sums)
    for model, collected in sums.items():
        cases = Cases(Subject("reconstruction", model), setup.since_1970(days))
        results.add(collected.sums(cases))
    return results


def _add_days(setup: Setup, days: Days, sums: Mapping[str, FieldSums]) -> None:
    """Decode a few test days with every model, and add them to its sums and to the baselines'."""
    truth, climatology = setup.truth.fields(days), setup.truth.climatology(days)
    made: dict[str, Callable[[], xr.DataArray]] = {
        kind: partial(setup.reconstructed, kind, days) for kind in setup.run.models
    }
    made |= {"climatology": lambda: climatology, "mean field": lambda: setup.truth.mean(days)}
    for model, fields in made.items():
        anomalies = None if model == "climatology" else climatology
        std = setup.store.statistics.std
        sums[model].update(fields(), truth, setup.truth.limits, anomalies, std)


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
