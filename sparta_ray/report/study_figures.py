"""The numbered figures of the documents, drawn from a study, each by a function of its own.

Each yields nothing where the runs it needs are not there. `docs/guides/report.md` has the index.
"""

from collections.abc import Callable, Iterator, Sequence

import xarray as xr

from sparta_ray.data.plan.seasons import SEASONS
from sparta_ray.evaluation.robustness import MEASURES
from sparta_ray.metrics.latent_space import principal_components
from sparta_ray.report.display import in_sentence, model_name
from sparta_ray.report.figures.curves import loss_curves
from sparta_ray.report.figures.embeddings import embedding_pca
from sparta_ray.report.figures.paper import (
    distance_series,
    forecast_errors,
    pairs_pca,
    robustness_curves,
    shared_ends,
    trajectories,
)
from sparta_ray.report.figures.report_figure import ReportFigure
from sparta_ray.report.study import Member, Study
from sparta_ray.report.study_scores import StudyScores
from sparta_ray.report.table_files import PlainTable, Value
from sparta_ray.run.history import stage_history
from sparta_ray.run.tasks import trials
from sparta_ray.training.stages import ModelKind

SPARTA, AUTOENCODER = "sparta_early_hn_cycle", "autoencoder"
LATE = ("sparta_late_attention", "sparta_late_graph")
SECTION = "The paper's figures"

Figures = Iterator[ReportFigure]


def study_figures(evidence: StudyScores) -> tuple[list[ReportFigure], list[str]]:
    """Return the numbered figures and the robustness curves, and a note on those not drawn."""
    figures, missing = [], []
    for number, draw in PAPER_FIGURES.items():
        drawn = list(draw(evidence.study))
        figures += drawn
        missing += [] if drawn else [number]
    notes = []
    if missing:
        notes.append(
            f"Figures {', '.join(missing)} of the documents are not drawn: the runs that they "
            "show are not here."
        )
    return [*figures, *robustness(evidence.study)], notes


def figure_3_1(study: Study) -> Figures:
    """The autoencoder's loss."""
    yield from _losses(study, "3.1", AUTOENCODER, "autoencoder")


def figure_3_2(study: Study) -> Figures:
    """Pairs of views of days in the autoencoder's space."""
    yield from _pairs(study, "3.2", AUTOENCODER)


def figure_3_3(study: Study) -> Figures:
    """The same of Barlow Twins."""
    yield from _pairs(study, "3.3", "barlow_twins")


def figure_3_4(study: Study) -> Figures:
    """The same of SimCLR."""
    yield from _pairs(study, "3.4", "simclr")


def figure_3_5(study: Study) -> Figures:
    """The same of supervised contrastive learning."""
    yield from _pairs(study, "3.5", "supcon")


def figure_7(study: Study) -> Figures:
    """Temporal distances of the autoencoder and SPARTA."""
    yield from _distances(study, "7", 1, (AUTOENCODER, SPARTA))


def figure_8(study: Study) -> Figures:
    """Their cycle distances."""
    yield from _distances(study, "8", 2, (AUTOENCODER, SPARTA))


def figure_9(study: Study) -> Figures:
    """Consecutive days in the plane of two principal components."""
    found = _embeddings(study, (AUTOENCODER, SPARTA))
    if found:
        planes = {model: principal_components(h.values, 2) for model, h in found.items()}
        times = next(iter(found.values())).indexes["time"]
        yield ReportFigure(
            SECTION,
            "Figure 9: PCA of latent points",
            "Masked test days; a line joins consecutive days, colour is the day of the year.",
            embedding_pca(
                {model: plane[0] for model, plane in planes.items()},
                times,
                {model: plane[1] for model, plane in planes.items()},
            ),
            "Embeddings in the plane of two principal components.",
        )


def figure_10(study: Study) -> Figures:
    """Trajectories of look-back windows of 5 days, every 5 days, by t-SNE."""
    found = _embeddings(study, (AUTOENCODER, SPARTA))
    if found and all(h.sizes["time"] >= 4 * 5 for h in found.values()):
        yield ReportFigure(
            SECTION,
            "Figure 10: latent trajectories",
            "Mean embeddings of windows of 5 masked days, starting every 5 days, by t-SNE; an "
            "arrow leads to the day to be forecast. Distances between far points mean nothing.",
            trajectories(found, look_back=5, stride=5),
            "Windows of days as points with arrows in a plane.",
        )


def figure_11(study: Study) -> Figures:
    """Errors of a forecast by the autoencoder."""
    yield from _errors(study, "11", AUTOENCODER)


def figure_12(study: Study) -> Figures:
    """Errors of the same forecast by SPARTA."""
    yield from _errors(study, "12", SPARTA)


def figure_13(study: Study) -> Figures:
    """Losses of stage 2."""
    yield from _losses(study, "13", SPARTA, "joint")


def figure_14(study: Study) -> Figures:
    """Losses of stage 1."""
    yield from _losses(study, "14", SPARTA, "pretrain")


def figure_15(study: Study) -> Figures:
    """Errors of the same forecast without hard negatives and cycle loss."""
    yield from _errors(study, "15", "sparta_early")


def figure_16(study: Study) -> Figures:
    """Temporal distances of the late fusions."""
    yield from _distances(study, "16", 1, LATE)


def figure_17(study: Study) -> Figures:
    """Their cycle distances."""
    yield from _distances(study, "17", 2, LATE)


PAPER_FIGURES: dict[str, Callable[[Study], Figures]] = {
    draw.__name__.removeprefix("figure_").replace("_", "."): draw
    for draw in (
        figure_3_1, figure_3_2, figure_3_3, figure_3_4, figure_3_5, figure_7, figure_8, figure_9,
        figure_10, figure_11, figure_12, figure_13, figure_14, figure_15, figure_16, figure_17,
    )
}  # fmt: skip
"""The figures by their numbers."""


def robustness(study: Study) -> Figures:
    """What is left as more is hidden, by mask shape and place; not in the paper."""
    curves = robustness_arrays(study)
    if not curves:
        return
    days = next(iter(curves.values())).attrs["days"]
    seeds = ""
    if any(array.sizes["seed"] > 1 for array in curves.values()):
        seeds = " Lines: mean over seeds; bands: from the lowest to the highest."
    for measure, title in (
        ("standardised error", "Reconstruction as more is hidden"),
        ("agreement", "Embeddings as more is hidden"),
    ):
        yield ReportFigure(
            "Robustness",
            title,
            f"Mean over {int(days)} test days, the same masks for every model of a seed. Solid: "
            "hidden on the view, after resizing; dashed: on the data's own grid, before it."
            f"{seeds} The numbers are in tables/robustness.csv.",
            robustness_curves(curves, measure),
            f"{measure} against the share hidden for each mask shape.",
        )


def robustness_table(study: Study) -> PlainTable:
    """Return the numbers of the robustness curves, a line for each point that was measured."""
    rows: list[tuple[Value, ...]] = [
        (model_name(model), int(of_seed["seed"]), *point, *map(float, values))
        for model, array in robustness_arrays(study).items()
        for of_seed in array
        for point, values in _points(of_seed)
        if values.notnull().all()
    ]
    header = ("model", "seed", "hidden on", "shape", "share hidden", *MEASURES)
    return PlainTable("robustness", "Robustness to hidden values", header, tuple(rows))


def confusion_table(study: Study) -> PlainTable:
    """Return how many test days of each season were given each, for every classifier."""
    rows: list[tuple[Value, ...]] = [
        (member.run.name, trial.name, season, given, int(count))
        for member in study.members
        for trial in trials(member.run)
        if (counts := member.results.arrays.get(f"confusion-{trial.name}")) is not None
        for season, row in zip(SEASONS, counts.values, strict=True)
        for given, count in zip(SEASONS, row, strict=True)
    ]
    header = ("run", "trial", "season", "given", "days")
    return PlainTable("confusion", "Which season is taken for which", header, tuple(rows))


def robustness_arrays(study: Study) -> dict[str, xr.DataArray]:
    """Return each model's robustness curves, dims (seed, measure, place, shape, ratio)."""
    of_runs: dict[str, list[xr.DataArray]] = {}
    for member in study.members:
        for kind in member.run.models:
            array = member.results.arrays.get(f"robustness-{kind}")
            if array is not None and array.sizes["ratio"]:
                curves = of_runs.setdefault(study.names(member)[kind], [])
                curves.append(array.expand_dims(seed=[member.run.seed]))
    return {
        name: xr.concat(curves, "seed", combine_attrs="override")
        for name, curves in of_runs.items()
    }


def _points(array: xr.DataArray) -> Iterator[tuple[tuple[str, str, float], xr.DataArray]]:
    for place in map(str, array["place"].values):
        for shape in map(str, array["shape"].values):
            for ratio in map(float, array["ratio"].values):
                yield (place, shape, ratio), array.sel(place=place, shape=shape, ratio=ratio)


def _models(study: Study) -> dict[str, tuple[Member, ModelKind]]:
    """Return the first run of each model by name."""
    found: dict[str, tuple[Member, ModelKind]] = {}
    for member in study.members:
        for kind in member.run.models:
            found.setdefault(study.names(member)[kind], (member, kind))
    return found


def _embeddings(study: Study, names: Sequence[str]) -> dict[str, xr.DataArray]:
    """Return the embeddings of all these models, or none if one of them is missing."""
    models = _models(study)
    found = {}
    for name in names:
        member, kind = models.get(name, (None, None))
        if member is not None and f"embeddings-{kind}" in member.results.arrays:
            found[name] = member.results.arrays[f"embeddings-{kind}"]
    return found if len(found) == len(names) else {}


def _losses(study: Study, number: str, name: str, stage: str) -> Figures:
    if name not in (models := _models(study)):
        return
    history = stage_history(models[name][0].folder, stage)
    if not history.empty:
        yield ReportFigure(
            SECTION,
            f"Figure {number}: losses of stage {stage}, {in_sentence(name)}",
            "Mean over each epoch's batches.",
            loss_curves(history, stage),
            f"Training and validation losses of stage {stage} by epoch.",
        )


def _pairs(study: Study, number: str, name: str) -> Figures:
    member, kind = _models(study).get(name, (None, None))
    if member is not None and f"pairs-{kind}" in member.results.arrays:
        yield ReportFigure(
            SECTION,
            f"Figure {number}: pairs of views, {in_sentence(name)}",
            "Two crops of each of 20 random validation days, joined by a line; colour is the day "
            "of the year.",
            pairs_pca(member.results.arrays[f"pairs-{kind}"], name),
            "Pairs of augmented views in the plane of two principal components.",
        )


def _distances(study: Study, number: str, order: int, names: Sequence[str]) -> Figures:
    if found := _embeddings(study, names):
        kind = "temporal" if order == 1 else "cycle"
        yield ReportFigure(
            SECTION,
            f"Figure {number}: {kind} distances",
            "Masked consecutive test days. The plain distances grow with the embeddings' variance; "
            "only those divided by it can be compared.",
            distance_series(found, order),
            f"{kind} distances by day.",
        )


def _errors(study: Study, number: str, name: str) -> Figures:
    """Yield the errors of one model's forecast, on one colour scale with the other models'."""
    found = {
        model: array
        for model in (AUTOENCODER, SPARTA, "sparta_early")
        if model in _models(study)
        for array in _error_panels(*_models(study)[model])
    }
    if name in found:
        panels = found[name]
        lead, day = int(panels.attrs["lead"]), panels.attrs["day"]
        title = f"{in_sentence(name)}: absolute error of the forecast for {day}, {lead} days ahead"
        yield ReportFigure(
            SECTION,
            f"Figure {number}: forecast errors, {in_sentence(name)}",
            f"The middle test window, {lead} days ahead; colour scales are shared with the other "
            "figures of forecast errors.",
            forecast_errors(
                panels, shared_ends(list(found.values())), title[:1].upper() + title[1:]
            ),
            "Maps of a forecast's absolute error for every variable.",
            raster=True,
        )


def _error_panels(member: Member, kind: ModelKind) -> Iterator[xr.DataArray]:
    """Yield the panels of the look-back-30 forecast, or else of the first setting."""
    settings = list(member.run.downstream.forecast)
    preferred = [name for name in settings if name == "lookback30_stride1"]
    for setting in [*preferred, *settings][:1]:
        seed = member.run.downstream.seeds[0]
        name = f"errors-{kind}-forecast-{setting}-seed{seed}"
        if name in member.results.arrays:
            yield member.results.arrays[name]
