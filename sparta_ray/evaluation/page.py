"""The report of a run: its results turned into sentences, tables and figures on one page."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from sparta_ray.config import ConfigError, differences, to_tree
from sparta_ray.data.store import Store
from sparta_ray.downstream.classification import SEASONS
from sparta_ray.downstream.trial import trials
from sparta_ray.evaluation.figures import (
    confusion_matrix,
    loss_curves,
    score_by_lead,
    variable_scores_by_lead,
)
from sparta_ray.evaluation.findings import findings
from sparta_ray.evaluation.history import stage_history, training_machines
from sparta_ray.evaluation.latent_figures import embedding_pca, smoothness_series
from sparta_ray.evaluation.latent_space import (
    cycle_distances,
    principal_components,
    temporal_distances,
    total_variance,
)
from sparta_ray.evaluation.maps import field_maps
from sparta_ray.evaluation.report import ReportContext, ReportFigure, write_report
from sparta_ray.evaluation.results import Results, load_results
from sparta_ray.models.sparta import parameter_count
from sparta_ray.run import Run, downstream_splits, schedule, splits
from sparta_ray.run_folder import RunFolder
from sparta_ray.training.checkpoint import load_model

_STATED = ("name", "folder", "scaling", "data.source", "data.store", "seed")
"""Settings that are no part of the method, and are not listed as differing from it."""


def write_page(run: Run) -> str:
    """Write the report of an evaluated run and return the path of its page.

    Raises:
        ConfigError: The run has not been evaluated.
    """
    folder = RunFolder(run.path)
    if not folder.exists("evaluation/scores.json"):
        raise ConfigError(f"{run.path} is not evaluated; run jobs/evaluate.py first")
    results, store = load_results(folder), Store(run.data.store)
    context = ReportContext(
        title=f"SPARTA run “{run.name}”",
        summary=findings(results.scores),
        run=_facts(run, store, folder),
        shortened=list(_shortened(run)),
        notes=list(_notes(run, store)),
        scores=results.scores,
        figures=list(_figures(run, folder, results)),
        simulated=bool(store.provenance["simulated"]),
    )
    return _publish(folder, context)


def _publish(folder: RunFolder, context: ReportContext) -> str:
    """Write the report beside the run, wherever that is."""
    if folder.is_local:
        return str(write_report(Path(folder.child("report")), context))
    import tempfile

    with tempfile.TemporaryDirectory() as local:
        for file in write_report(Path(local), context).parent.iterdir():
            folder.write(f"report/{file.name}", file.read_bytes())
    return folder.child("report", "index.html")


def _facts(run: Run, store: Store, folder: RunFolder) -> dict[str, str]:
    """Return what was run, on what data, with what."""
    record = yaml.safe_load(folder.read("run.yaml"))
    facts = {
        "Data": f"{store.provenance['title']}: {store.days[0]} to {store.days[-1]}, "
        f"{len(store):,} days, {store.grid[0]}x{store.grid[1]} points",
        "Variables": ", ".join(store.variables),
        "Source": str(store.provenance["source"]),
        "Data fingerprint": store.fingerprint,
    }
    for name, part in splits(run, len(store)).items():
        facts[f"{name.capitalize()} days"] = _span(store, part.start, part.stop)
    for name, part in downstream_splits(run, len(store)).items():
        facts[f"Downstream {name} days"] = _span(store, part.start, part.stop)
    for stage in run.training.stages:
        plan = schedule(run, stage, len(store))
        facts[f"Stage {stage.kind}"] = (
            f"{plan.epochs} epochs, {plan.epochs * plan.train_steps:,} steps of up to "
            f"{run.sampling.anchors_per_batch * run.sampling.rows_per_anchor} rows"
        )
    for kind in run.models:
        _, model = load_model(folder.child("models", kind))
        facts[f"Parameters of {kind}"] = f"{parameter_count(model):,}"
    facts["Trained on"] = "; ".join(training_machines(folder))
    facts["Seed"] = str(run.seed)
    facts["Code"] = f"revision {record['git_revision']}; " + ", ".join(
        f"{name} {version}" for name, version in record["versions"].items()
    )
    return facts


def _span(store: Store, start: int, stop: int) -> str:
    return f"{store.days[start]} to {store.days[stop - 1]} ({stop - start:,} days)"


def _shortened(run: Run) -> Iterator[tuple[str, str, str]]:
    """List every setting of the method that differs from the published one."""
    for line in differences(to_tree(Run()), to_tree(run)):
        path, _, values = line.partition(": ")
        published, _, ours = values.partition(" -> ")
        if not path.startswith(_STATED):
            yield path, published.strip("'"), ours.strip("'")


def _notes(run: Run, store: Store) -> Iterator[str]:
    yield (
        "Masks fall on the 144x72 view, after upsampling, as published: at 70 % hidden, the values "
        "left still determine the 64x32 field. Sparser observations are a harder task."
    )
    yield (
        "RRMSE pools all variables in their own units, so geopotential dominates it; judge by the "
        "per-variable scores."
    )
    training = splits(run, len(store))["train"]
    years = len(training) / 365.25
    yield (
        f"Climatology and the mean field come from the {years:.1f} training years, smoothed over "
        f"±{run.evaluation.climatology_half_window} days of the year."
    )
    if len(run.downstream.seeds) == 1:
        yield "One seed: the spread between seeds is not known, so small differences mean nothing."
    if store.provenance["licence"]:
        yield "Data: " + " ".join(str(store.provenance["licence"]).split())


def _figures(run: Run, folder: RunFolder, results: Results) -> Iterator[ReportFigure]:
    yield from _loss_figures(run, folder)
    yield from _map_figures(run, results)
    yield from _lead_figures(results)
    yield from _embedding_figures(run, results)
    for trial in trials(run):
        if (counts := results.arrays.get(f"confusion-{trial.name}")) is not None:
            yield ReportFigure(
                "classification",
                f"Who is taken for whom: {trial.model}, seed {trial.seed}",
                "Test days by true and predicted season.",
                confusion_matrix(counts.values, SEASONS),
                f"Confusion matrix of the season classifier on {trial.model} embeddings.",
            )


def _loss_figures(run: Run, folder: RunFolder) -> Iterator[ReportFigure]:
    rows = run.sampling.anchors_per_batch * run.sampling.rows_per_anchor
    chance = {"nt_xent": 2 * math.log(2 * rows - 1)}
    for stage in run.training.stages:
        history = stage_history(folder, stage.kind)
        if not history.empty:
            yield ReportFigure(
                "Training",
                f"Losses of stage {stage.kind}",
                "Mean over each epoch's batches. NT-Xent is the sum over both neighbours; the "
                "dotted line is what guessing would score.",
                loss_curves(history, stage.kind, chance),
                f"Training and validation losses of stage {stage.kind} by epoch.",
            )


def _map_figures(run: Run, results: Results) -> Iterator[ReportFigure]:
    for kind in run.models:
        if (panels := results.arrays.get(f"map-reconstruction-{kind}")) is not None:
            yield ReportFigure(
                "reconstruction",
                f"One day, reconstructed by {kind}",
                f"{panels.attrs['day']}, drawn on the {run.views.crop[0]}x{run.views.crop[1]} view "
                "that the encoder sees. Grey values were hidden.",
                field_maps(panels, f"Reconstruction of {panels.attrs['day']} by {kind}"),
                "Maps of truth, masked input, reconstruction and error for every variable.",
                raster=True,
            )
    for trial in trials(run):
        if (panels := results.arrays.get(f"map-{trial.name}")) is not None:
            day, lead = panels.attrs["day"], int(panels.attrs["lead"])
            yield ReportFigure(
                "forecast",
                f"A forecast {lead} days ahead: {trial.model}, seed {trial.seed}",
                f"For {day}, from {trial.setting.replace('_', ', ')}.",
                field_maps(panels, f"Forecast of {day}, {lead} days ahead, by {trial.model}"),
                "Maps of truth, forecast and error for every variable.",
                raster=True,
            )


def _lead_figures(results: Results) -> Iterator[ReportFigure]:
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
        if score.task == "forecast"
    )
    if scores.empty:
        return
    for setting, part in scores.groupby("setting"):
        title = str(setting).replace("_", ", ")
        joint = part[part["metric"] == "rrmse"]
        yield ReportFigure(
            "forecast",
            f"All variables together ({title})",
            "Autoregressive forecasts from every test window; lower is better.",
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
