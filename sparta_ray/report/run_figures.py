"""The figures of a run's report, with the words around each."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from sparta_ray.base.folder import RunFolder
from sparta_ray.evaluation.results import Results
from sparta_ray.figures.curves import loss_curves
from sparta_ray.figures.display import in_sentence
from sparta_ray.figures.embeddings import embedding_pca, smoothness_series
from sparta_ray.figures.maps import field_maps
from sparta_ray.figures.report_figure import ReportFigure
from sparta_ray.metrics.contrastive import CONTRASTIVE_METRICS, NTXent, TrainedLoss
from sparta_ray.metrics.latent_space import (
    cycle_distances,
    principal_components,
    temporal_distances,
    total_variance,
)
from sparta_ray.run.history import stage_history
from sparta_ray.run.settings import Run
from sparta_ray.tasks.registry import DOWNSTREAM_TASKS


def page_figures(run: Run, folder: RunFolder, results: Results) -> Iterator[ReportFigure]:
    """Yield every figure of an evaluated run, in the order within its section."""
    yield from _loss_figures(run, folder)
    yield from _map_figures(run, results)
    yield from _embedding_figures(run, results)
    for task in DOWNSTREAM_TASKS:
        yield from task.figures(run, results)


def _loss_figures(run: Run, folder: RunFolder) -> Iterator[ReportFigure]:
    rows = run.sampling.rows_per_full_batch
    chance = {"nt_xent": 2 * math.log(2 * rows - 1)}
    for stage in run.training.stages:
        history = stage_history(folder, stage.kind)
        if not history.empty:
            yield ReportFigure(
                "Training",
                f"Losses of stage {stage.kind}",
                "Mean over each epoch's batches." + _about_sums(history),
                loss_curves(history, stage.kind, chance),
                f"Training and validation losses of stage {stage.kind} by epoch.",
            )


def _about_sums(history: pd.DataFrame) -> str:
    """Return how the contrastive loss of a figure relates to that of the tables."""
    for metric in CONTRASTIVE_METRICS:
        if not isinstance(metric, TrainedLoss) or f"train_{metric.key}" not in history:
            continue
        if metric.pairs == 2:
            chance = "; the dotted line is the chance level" * isinstance(metric, NTXent)
            return f" {metric.label} is the sum over both pairs, twice that of the tables{chance}."
    return ""


def _map_figures(run: Run, results: Results) -> Iterator[ReportFigure]:
    for kind in run.models:
        name = in_sentence(kind)
        if (panels := results.arrays.get(f"map-reconstruction-{kind}")) is not None:
            yield ReportFigure(
                "reconstruction",
                f"One {run.data.length.noun}, reconstructed by {name}",
                f"{panels.attrs['day']}, drawn on the {run.views.crop[0]}x{run.views.crop[1]} view "
                "that the encoder sees. Grey values were hidden.",
                field_maps(panels, f"Reconstruction of {panels.attrs['day']} by {name}"),
                "Maps of truth, masked input, reconstruction and error for every variable.",
                raster=True,
            )


def _embedding_figures(run: Run, results: Results) -> Iterator[ReportFigure]:
    found = {
        kind: results.arrays[f"embeddings-{kind}"]
        for kind in run.models
        if f"embeddings-{kind}" in results.arrays
    }
    if not found:
        return
    step = run.data.length
    h = {kind: array.values.astype(np.float64) for kind, array in found.items()}
    times = pd.DatetimeIndex(next(iter(found.values())).time.values)
    planes = {kind: principal_components(values, 2) for kind, values in h.items()}
    yield ReportFigure(
        "latent space",
        f"The {step.nouns} in a plane",
        step.worded(
            "First two principal components of masked test {steps}' embeddings; a line joins "
            "consecutive {steps}, colour is the day of the year."
        ),
        embedding_pca(
            {kind: plane[0] for kind, plane in planes.items()},
            times,
            {kind: plane[1] for kind, plane in planes.items()},
            step,
        ),
        "Scatter of embeddings in the plane of two principal components.",
    )
    yield ReportFigure(
        "latent space",
        step.worded("From {step} to {step}"),
        "Distances between consecutive embeddings, raw and divided by their total variance: only "
        "the latter can be compared between models.",
        smoothness_series(
            {kind: temporal_distances(values) for kind, values in h.items()},
            {kind: cycle_distances(values) for kind, values in h.items()},
            {kind: total_variance(values) for kind, values in h.items()},
            times,
        ),
        f"Temporal and cycle distances over the test {step.nouns}.",
    )
