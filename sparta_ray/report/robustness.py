"""Robustness of a study's models to hidden values: curves for the page, and a table of them."""

from collections.abc import Iterator

import xarray as xr

from sparta_ray.evaluation.robustness import MEASURES
from sparta_ray.figures.display import model_name
from sparta_ray.figures.paper import robustness_curves
from sparta_ray.figures.report_figure import ReportFigure
from sparta_ray.report.study import Study
from sparta_ray.report.table_files import PlainTable, Value


def robustness_figures(study: Study) -> Iterator[ReportFigure]:
    """Yield the reconstruction error and the embeddings' agreement as more values are hidden."""
    curves = robustness_arrays(study)
    if not curves:
        return
    days = int(next(iter(curves.values())).attrs["days"])
    seeds = ""
    if any(array.sizes["seed"] > 1 for array in curves.values()):
        seeds = " Lines are means over seeds; bands reach from the lowest to the highest seed."
    for measure, title in (
        ("standardised error", "Reconstruction error by share of hidden values"),
        ("agreement", "Agreement of embeddings by share of hidden values"),
    ):
        yield ReportFigure(
            "Robustness",
            title,
            f"Mean over {days} test {study.step.nouns}; all models of one seed see the same masks. "
            "Solid lines: values are hidden in the view, after resizing. Dashed lines: they are "
            f"hidden on the data's own grid, before resizing.{seeds} The numbers are in "
            "tables/robustness.csv.",
            robustness_curves(curves, measure),
            f"{measure} against the share of hidden values for each mask shape.",
        )


def robustness_table(study: Study) -> PlainTable:
    """Return the numbers of the robustness curves, one row for each point that was measured."""
    rows: list[tuple[Value, ...]] = [
        (model_name(model), int(of_seed["seed"]), *point, *map(float, values))
        for model, array in robustness_arrays(study).items()
        for of_seed in array
        for point, values in _points(of_seed)
        if values.notnull().all()
    ]
    header = ("model", "seed", "hidden on", "shape", "share hidden", *MEASURES)
    return PlainTable("robustness", "Robustness to hidden values", header, tuple(rows))


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
