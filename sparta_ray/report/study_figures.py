"""The numbered figures of the documents as data, and the functions that draw them from a study.

A figure whose runs are not part of the study is left out. `docs/guides/report.md` lists them all.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import xarray as xr

from sparta_ray.base.durations import StepLength
from sparta_ray.figures.curves import loss_curves
from sparta_ray.figures.display import in_sentence
from sparta_ray.figures.embeddings import embedding_pca
from sparta_ray.figures.paper import (
    distance_series,
    forecast_errors,
    pairs_pca,
    shared_ends,
    trajectories,
)
from sparta_ray.figures.report_figure import ReportFigure
from sparta_ray.metrics.latent_space import principal_components
from sparta_ray.report.robustness import robustness_figures
from sparta_ray.report.study import Member, Study
from sparta_ray.run.history import stage_history
from sparta_ray.training.stages import ModelKind

SPARTA, AUTOENCODER, PLAIN = "sparta_early_hn_cycle", "autoencoder", "sparta_early"
BENCHMARK = (AUTOENCODER, SPARTA)
LATE = ("sparta_late_attention", "sparta_late_graph")
SECTION = "The paper's figures"
WINDOW = 5
"""Steps in a window of Figure 10, and steps between the starts of two windows."""

Shows = Literal[
    "losses", "pairs", "temporal distances", "cycle distances", "pca", "trajectories", "errors"
]
Figures = Iterator[ReportFigure]


@dataclass(frozen=True)
class PaperFigure:
    """What a numbered figure shows.

    Attributes:
        number: As in the documents.
        shows: Which kind of figure it is.
        variants: Whose; losses, pairs and errors are of one.
        stage: Whose losses.
    """

    number: str
    shows: Shows
    variants: tuple[str, ...]
    stage: str = ""


PAPER_FIGURES = (
    PaperFigure("3.1", "losses", (AUTOENCODER,), "autoencoder"),
    PaperFigure("3.2", "pairs", (AUTOENCODER,)),
    PaperFigure("3.3", "pairs", ("barlow_twins",)),
    PaperFigure("3.4", "pairs", ("simclr",)),
    PaperFigure("3.5", "pairs", ("supcon",)),
    PaperFigure("7", "temporal distances", BENCHMARK),
    PaperFigure("8", "cycle distances", BENCHMARK),
    PaperFigure("9", "pca", BENCHMARK),
    PaperFigure("10", "trajectories", BENCHMARK),
    PaperFigure("11", "errors", (AUTOENCODER,)),
    PaperFigure("12", "errors", (SPARTA,)),
    PaperFigure("13", "losses", (SPARTA,), "joint"),
    PaperFigure("14", "losses", (SPARTA,), "pretrain"),
    PaperFigure("15", "errors", (PLAIN,)),
    PaperFigure("16", "temporal distances", LATE),
    PaperFigure("17", "cycle distances", LATE),
)


def study_figures(study: Study) -> tuple[list[ReportFigure], list[str]]:
    """Return the numbered figures and the robustness curves, and a note on those not drawn."""
    figures, missing = [], []
    for figure in PAPER_FIGURES:
        drawn = list(draw(figure, study))
        figures += drawn
        missing += [] if drawn else [figure.number]
    notes = []
    if missing:
        notes.append(
            f"Figures {', '.join(missing)} of the documents are not drawn, because the runs that "
            "they show are not part of this report."
        )
    return [*figures, *robustness_figures(study)], notes


def draw(figure: PaperFigure, study: Study) -> Figures:
    """Yield a numbered figure, or nothing where one of its runs is missing."""
    models = _models(study)
    if not set(figure.variants) <= models.keys():
        return
    match figure.shows:
        case "losses":
            yield from _losses(figure, models)
        case "pairs":
            yield from _pairs(figure, models)
        case "temporal distances" | "cycle distances":
            yield from _distances(figure, models)
        case "pca":
            yield from _pca(figure, models)
        case "trajectories":
            yield from _trajectories(figure, models)
        case "errors":
            yield from _errors(figure, models)


Models = Mapping[str, tuple[Member, ModelKind]]


def _models(study: Study) -> Models:
    """Return the first run of each model by the model's name."""
    found: dict[str, tuple[Member, ModelKind]] = {}
    for member in study.members:
        for kind in member.run.models:
            found.setdefault(study.names(member)[kind], (member, kind))
    return found


def _step(models: Models) -> StepLength:
    """Return how long a step is; the runs of a study are on the same data."""
    return next(iter(models.values()))[0].run.data.length


def _embeddings(variants: Sequence[str], models: Models) -> dict[str, xr.DataArray]:
    """Return the embeddings of these models, or none if those of one are missing."""
    found = {}
    for name in variants:
        member, kind = models[name]
        if f"embeddings-{kind}" in member.results.arrays:
            found[name] = member.results.arrays[f"embeddings-{kind}"]
    return found if len(found) == len(variants) else {}


def _losses(figure: PaperFigure, models: Models) -> Figures:
    (name,) = figure.variants
    history = stage_history(models[name][0].folder, figure.stage)
    if not history.empty:
        yield ReportFigure(
            SECTION,
            f"Figure {figure.number}: losses of stage {figure.stage}, {in_sentence(name)}",
            "Mean over the batches of each epoch.",
            loss_curves(history, figure.stage),
            f"Training and validation losses of stage {figure.stage} by epoch.",
        )


def _pairs(figure: PaperFigure, models: Models) -> Figures:
    (name,) = figure.variants
    member, kind = models[name]
    step = member.run.data.length
    if f"pairs-{kind}" in member.results.arrays:
        yield ReportFigure(
            SECTION,
            f"Figure {figure.number}: pairs of views, {in_sentence(name)}",
            step.worded(
                "A line joins the embeddings of two crops of the same {step}, for 20 random "
                "validation {steps}. The colour is the day of the year."
            ),
            pairs_pca(member.results.arrays[f"pairs-{kind}"], name, step),
            "Pairs of augmented views in the plane of two principal components.",
        )


def _distances(figure: PaperFigure, models: Models) -> Figures:
    step = _step(models)
    if found := _embeddings(figure.variants, models):
        yield ReportFigure(
            SECTION,
            f"Figure {figure.number}: {figure.shows}",
            f"Masked test {step.nouns} in order. Plain distances grow with the variance of the "
            "embeddings, so only those divided by it can be compared between models.",
            distance_series(found, 1 if figure.shows == "temporal distances" else 2),
            f"{figure.shows} by {step.noun}.",
        )


def _pca(figure: PaperFigure, models: Models) -> Figures:
    step = _step(models)
    if found := _embeddings(figure.variants, models):
        planes = {model: principal_components(h.values, 2) for model, h in found.items()}
        yield ReportFigure(
            SECTION,
            f"Figure {figure.number}: PCA of latent points",
            step.worded(
                "Masked test {steps}. A line joins consecutive {steps}; the colour is the day of "
                "the year."
            ),
            embedding_pca(
                {model: plane[0] for model, plane in planes.items()},
                next(iter(found.values())).indexes["time"],
                {model: plane[1] for model, plane in planes.items()},
                step,
            ),
            "Embeddings in the plane of two principal components.",
        )


def _trajectories(figure: PaperFigure, models: Models) -> Figures:
    step, found = _step(models), _embeddings(figure.variants, models)
    if found and all(h.sizes["time"] >= 4 * WINDOW for h in found.values()):
        yield ReportFigure(
            SECTION,
            f"Figure {figure.number}: latent trajectories",
            f"Each point is the mean embedding of a window of {WINDOW} masked {step.nouns}, placed "
            f"by t-SNE; windows start every {step.lasting(WINDOW)}. An arrow leads to the "
            f"{step.noun} to be forecast. "
            "Distances between points far apart mean nothing in t-SNE.",
            trajectories(found, look_back=WINDOW, stride=WINDOW, step=step),
            f"Windows of {step.nouns} as points with arrows in a plane.",
        )


def _errors(figure: PaperFigure, models: Models) -> Figures:
    """Yield the forecast errors of one model, on one colour scale with those of the others."""
    (name,) = figure.variants
    compared = (models[model] for model in (*BENCHMARK, PLAIN) if model in models)
    scales = shared_ends([panels for model in compared for panels in _error_panels(*model)])
    for panels in _error_panels(*models[name]):
        lead, day = _step(models).lasting(int(panels.attrs["lead"])), panels.attrs["day"]
        title = f"{in_sentence(name)}: absolute error of the forecast for {day}, {lead} ahead"
        yield ReportFigure(
            SECTION,
            f"Figure {figure.number}: forecast errors, {in_sentence(name)}",
            f"The forecast from the middle test window, {lead} ahead. All figures of forecast "
            "errors have the same colour scales.",
            forecast_errors(panels, scales, title[:1].upper() + title[1:]),
            "Maps of a forecast's absolute error for every variable.",
            raster=True,
        )


def _error_panels(member: Member, kind: ModelKind) -> list[xr.DataArray]:
    """Return the errors of the look-back-30 forecast, or of the first setting without one."""
    settings = list(member.run.downstream.forecast)
    preferred = [name for name in settings if name == "lookback30_stride1"]
    seed = member.run.downstream.seeds[0]
    names = [f"errors-{kind}-forecast-{s}-seed{seed}" for s in [*preferred, *settings][:1]]
    return [member.results.arrays[name] for name in names if name in member.results.arrays]
