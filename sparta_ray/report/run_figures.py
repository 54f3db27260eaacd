"""The figures of a run's report, with the words around each."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from sparta_ray.base.folder import RunFolder
from sparta_ray.data.plan.seasons import SEASONS
from sparta_ray.evaluation.results import Results
from sparta_ray.metrics.latent_space import (
    cycle_distances,
    principal_components,
    temporal_distances,
    total_variance,
)
from sparta_ray.metrics.records import Score, is_floor
from sparta_ray.report.display import in_sentence, setting_name
from sparta_ray.report.figures.curves import (
    confusion_matrix,
    loss_curves,
    score_by_lead,
    variable_scores_by_lead,
)
from sparta_ray.report.figures.embeddings import embedding_pca, smoothness_series
from sparta_ray.report.figures.maps import field_maps
from sparta_ray.report.figures.report_figure import ReportFigure
from sparta_ray.run.history import stage_history
from sparta_ray.run.settings import Run
from sparta_ray.run.tasks import trials


def page_figures(run: Run, folder: RunFolder, results: Results) -> Iterator[ReportFigure]:
    """Yield every figure of an evaluated run, in the order within its section."""
    yield from _loss_figures(run, folder)
    yield from _map_figures(run, results)
    yield from lead_figures(results)
    yield from _embedding_figures(run, results)
    for trial in trials(run):
        if (counts := results.arrays.get(f"confusion-{trial.name}")) is not None:
            name = in_sentence(trial.model)
            yield ReportFigure(
                "classification",
                f"Who is taken for whom: {name}, seed {trial.seed}",
                "Test days by true and predicted season.",
                confusion_matrix(counts.values, SEASONS),
                f"Confusion matrix of the season classifier on {name} embeddings.",
            )


def _loss_figures(run: Run, folder: RunFolder) -> Iterator[ReportFigure]:
    rows = run.sampling.rows_per_full_batch
    chance = {"nt_xent": 2 * math.log(2 * rows - 1)}
    sums = (
        " NT-Xent is the sum over both pairs, twice that of the tables; the dotted line is what "
        "guessing would score."
    )
    for stage in run.training.stages:
        history = stage_history(folder, stage.kind)
        if not history.empty:
            yield ReportFigure(
                "Training",
                f"Losses of stage {stage.kind}",
                "Mean over each epoch's batches." + (sums if "train_nt_xent" in history else ""),
                loss_curves(history, stage.kind, chance),
                f"Training and validation losses of stage {stage.kind} by epoch.",
            )


def _map_figures(run: Run, results: Results) -> Iterator[ReportFigure]:
    for kind in run.models:
        name = in_sentence(kind)
        if (panels := results.arrays.get(f"map-reconstruction-{kind}")) is not None:
            yield ReportFigure(
                "reconstruction",
                f"One day, reconstructed by {name}",
                f"{panels.attrs['day']}, drawn on the {run.views.crop[0]}x{run.views.crop[1]} view "
                "that the encoder sees. Grey values were hidden.",
                field_maps(panels, f"Reconstruction of {panels.attrs['day']} by {name}"),
                "Maps of truth, masked input, reconstruction and error for every variable.",
                raster=True,
            )
    for trial in trials(run):
        if (panels := results.arrays.get(f"map-{trial.name}")) is not None:
            day, lead = panels.attrs["day"], int(panels.attrs["lead"])
            name = in_sentence(trial.model)
            yield ReportFigure(
                "forecast",
                f"A forecast {lead} days ahead: {name}, seed {trial.seed}",
                f"For {day}; {setting_name(trial.setting)}.",
                field_maps(panels, f"Forecast of {day}, {lead} days ahead, by {name}"),
                "Maps of truth, forecast and error for every variable.",
                raster=True,
            )


def lead_figures(results: Results, leads_apart: int = 1) -> Iterator[ReportFigure]:
    """Yield the scores of each forecast setting by lead time, of all variables and of each.

    Args:
        results: Of a run or a study.
        leads_apart: Draw the first lead and one in so many, where lines are many too; the floors
            are left out then.
    """
    scores = pd.DataFrame(
        {
            "label": score.model,
            "lead": score.lead_days,
            "value": score.value,
            "metric": score.metric,
            "setting": score.setting,
            "variable": score.variable,
        }
        for score in results.scores
        if score.task == "forecast" and _is_drawn(score, leads_apart)
    )
    if scores.empty:
        return
    for setting, part in scores.groupby("setting"):
        title = setting_name(str(setting))
        joint = part[part["metric"] == "rrmse"]
        if not joint.empty:
            yield ReportFigure(
                "forecast",
                f"All variables together ({title})",
                "Forecasts from every test window; lower is better.",
                score_by_lead(joint, "rrmse", "%"),
                "RRMSE by lead time of the models, persistence and climatology.",
            )
        yield ReportFigure(
            "forecast",
            f"Variable by variable ({title})",
            "Area-weighted root mean squared error.",
            variable_scores_by_lead(part[part["metric"] == "rmse"], "rmse"),
            "RMSE by lead time for each variable.",
        )
        anomalies = part[part["metric"] == "acc"]
        if not anomalies.empty:
            yield ReportFigure(
                "forecast",
                f"Anomalies of each variable ({title})",
                "Correlation with the true anomalies from climatology, at the leads of the tables; "
                "0 where they are unrelated.",
                variable_scores_by_lead(anomalies, "acc", si_units=False),
                "ACC by lead time for each variable.",
            )


def _is_drawn(score: Score, leads_apart: int) -> bool:
    if leads_apart == 1:
        return True
    lead = score.lead_days or 0
    return not is_floor(score.model) and (lead == 1 or lead % leads_apart == 0)


def _embedding_figures(run: Run, results: Results) -> Iterator[ReportFigure]:
    found = {
        kind: results.arrays[f"embeddings-{kind}"]
        for kind in run.models
        if f"embeddings-{kind}" in results.arrays
    }
    if not found:
        return
    h = {kind: array.values.astype(np.float64) for kind, array in found.items()}
    times = pd.DatetimeIndex(next(iter(found.values())).time.values)
    planes = {kind: principal_components(values, 2) for kind, values in h.items()}
    yield ReportFigure(
        "latent space",
        "The days in a plane",
        "First two principal components of masked test days' embeddings; a line joins consecutive "
        "days, colour is the day of the year.",
        embedding_pca(
            {kind: plane[0] for kind, plane in planes.items()},
            times,
            {kind: plane[1] for kind, plane in planes.items()},
        ),
        "Scatter of embeddings in the plane of two principal components.",
    )
    yield ReportFigure(
        "latent space",
        "From day to day",
        "Distances between consecutive embeddings, raw and divided by their total variance: only "
        "the latter can be compared between models.",
        smoothness_series(
            {kind: temporal_distances(values) for kind, values in h.items()},
            {kind: cycle_distances(values) for kind, values in h.items()},
            {kind: total_variance(values) for kind, values in h.items()},
            times,
        ),
        "Temporal and cycle distances over the test days.",
    )
