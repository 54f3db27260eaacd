"""A picture of a batch before training: fields, views and masks of its first rows.

Legend: V variables, X × Y points of a map: the grid's or a view's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.grids import latitude_edges
from sparta_ray.base.seeding import derive_seed
from sparta_ray.data.batches.compact import Needs, build_batch
from sparta_ray.data.batches.expand import expand, to_device
from sparta_ray.data.batches.view_operator import ViewOperator
from sparta_ray.data.plan.masking import MaskConfig
from sparta_ray.data.plan.sampling import Plan, make_plan
from sparta_ray.data.preparation.streaming import open_store
from sparta_ray.data.store.store import Store
from sparta_ray.figures.display import display_of
from sparta_ray.figures.maps import (
    HIDDEN,
    colour_scale,
    draw_coastlines,
    map_longitude_edges,
)
from sparta_ray.figures.style import MUTED, headline, styled
from sparta_ray.run.checks import check_run
from sparta_ray.run.settings import Run, splits

Edges = NDArray[np.float64]

COLUMNS = ("the day's field", "anchor view", "later neighbour", "earlier neighbour", "input view")
ROLES = ("anchor", "hard negative", "soft negative")

WIDTH, LEFT, RIGHT, TOP, BOTTOM, GAP, ROW_GAP = 13.0, 1.15, 0.15, 0.85, 0.6, 0.12, 0.3
"""Of the figure, its margins, and the gaps between maps, in inches."""


@dataclass(frozen=True)
class Map:
    """One of a row's maps.

    Attributes:
        caption: Which day it shows, how far off, and how much of it is hidden.
        values: Standardised, NaN where hidden or missing, shape (V, X, Y).
        x_edges: Longitudes between its columns and around them, shape (X + 1,).
        y_edges: Latitudes likewise, shape (Y + 1,).
    """

    caption: str
    values: NDArray[np.float32]
    x_edges: Edges
    y_edges: Edges


def preview(run: Run, rows: int = 3, variables: Sequence[str] = ()) -> Figure:
    """Draw the first rows of the first batch that the run would train on, from its store.

    Args:
        run: The run; its store must be there.
        rows: Rows to draw.
        variables: Labels of those to draw; none for the first.

    Raises:
        ConfigError: The store is not finished, does not fit the run, or lacks a variable.
    """
    store = open_store(run.data.store, run.data.cache)
    check_run(run, store.days, store.grid)
    wanted = tuple(variables) or store.variables[:1]
    if unknown := [label for label in wanted if label not in store.variables]:
        raise ConfigError(f"no variable {unknown[0]!r} in the store; it has {store.variables}")
    maps = list(_first_rows(run, store, rows))
    channels = [store.variables.index(label) for label in wanted]
    return draw_rows(
        [[(m, m.values[channel]) for m in row] for row in maps for channel in channels],
        [
            "\n".join([_role(run, row), *display_of(label).name.split(", ")])
            for row in range(len(maps))
            for label in wanted
        ],
        f"The first rows of the first batch: {_words(run.mask)}",
    )


def _first_rows(run: Run, store: Store, rows: int) -> Iterator[list[Map]]:
    """Yield each row's maps, one for each of `COLUMNS`, from the plan of the first stage."""
    seed, split = derive_seed(run.seed, "stage", 0), splits(run, len(store))["train"]
    plan = make_plan(split, run.sampling, run.views, run.mask, seed, "train", epoch=0)
    shown = slice(0, min(rows, plan.batch_rows(0).stop))
    needs = Needs(contrastive=True, input=True)
    batch = build_batch(store, plan, shown, run.views, run.mask, needs, run.batches)
    views = expand(to_device(batch, torch.device("cpu")), ViewOperator(store.grid, run.views))
    made = (views.anchor, views.after, views.before, views.input)
    seen = [torch.where(view == 0, torch.nan, view).numpy() for view in made if view is not None]
    grid = map_longitude_edges(store.longitude), latitude_edges(store.latitude)
    for row in range(shown.stop):
        fields = [views.fields.day[row].numpy(), *(view[row] for view in seen)]
        edges = [grid, *(_view_edges(run, grid, crop) for crop in (*plan.crop[row], None))]
        captions = _captions(store, plan, row, fields)
        yield [Map(c, f, *e) for c, f, e in zip(captions, fields, edges, strict=True)]


def _view_edges(
    run: Run, grid: tuple[Edges, Edges], crop: NDArray[np.int16] | None
) -> tuple[Edges, Edges]:
    """Return the coordinates of a view's points: part of the globe if cropped, else all of it."""
    places = []
    for axis, edges in enumerate(grid):
        points, whole = run.views.crop[axis], run.views.resize[axis]
        first, whole = (0, points) if crop is None else (int(crop[axis]), whole)
        cells = (first + np.arange(points + 1)) * (len(edges) - 1) / whole
        places.append(np.interp(cells, np.arange(len(edges)), edges))
    return places[0], places[1]


def _captions(
    store: Store, plan: Plan, row: int, fields: Sequence[NDArray[np.float32]]
) -> Iterator[str]:
    delta = int(plan.delta[row])
    for field, apart in zip(fields, (0, 0, delta, -delta, 0), strict=True):
        date = str(store.days[plan.day[row] + apart])
        distance = f", Δ = {apart:+d}".replace("-", "\u2212") if apart else ""
        hidden = float(np.isnan(field).mean())
        yield date + distance + (f", {hidden:.0%} hidden".replace("%", " %") if hidden else "")


def _role(run: Run, row: int) -> str:
    return ROLES[row % run.sampling.rows_per_anchor]


def _words(mask: MaskConfig) -> str:
    low, high = (round(100 * ratio) for ratio in mask.ratio)
    share = f"{low} %" if low == high else f"{low} to {high} %"
    return f"{share} hidden on the {mask.on}, shape {mask.shape.kind}"


@styled
def draw_rows(
    rows: Sequence[Sequence[tuple[Map, NDArray[np.float32]]]], labels: Sequence[str], title: str
) -> Figure:
    """Draw rows of maps on one colour scale.

    Args:
        rows: A map and its values, shape (X, Y), for each of `COLUMNS`.
        labels: What each row is.
        title: What the figure shows.
    """
    across = (WIDTH - LEFT - RIGHT - (len(COLUMNS) - 1) * GAP) / len(COLUMNS)
    height = TOP + len(rows) * (across / 2 + ROW_GAP) + BOTTOM
    figure = Figure(figsize=(WIDTH, height))
    norm = colour_scale(np.concatenate([v.ravel() for row in rows for _, v in row]), symmetric=True)
    for number, (row, label) in enumerate(zip(rows, labels, strict=True)):
        bottom = height - TOP - (number + 1) * (across / 2 + ROW_GAP) + ROW_GAP
        for column, (shown, values) in enumerate(row):
            left = LEFT + column * (across + GAP)
            box = (left / WIDTH, bottom / height, across / WIDTH, across / 2 / height)
            ax = figure.add_axes(box, label="map")
            mesh = ax.pcolormesh(
                shown.x_edges, shown.y_edges, values.T, cmap="viridis", norm=norm, zorder=1
            )
            _finish(ax, shown, row[0][0], labelled=column == 0)
            if number == 0:
                ax.annotate(
                    COLUMNS[column], (0, 1), (0, 18), "axes fraction", "offset points",
                    fontsize=9, fontweight="bold",
                )  # fmt: skip
            if column == 0:
                ax.set_ylabel(label, fontsize=8)
    _colour_bar(figure, mesh)
    headline(figure, title, y=1 - 0.12 / height)
    return figure


def _finish(ax: Axes, shown: Map, whole: Map, labelled: bool) -> None:
    """Grey what is hidden, leave the globe outside the crop white, and add coasts and caption."""
    x, y = shown.x_edges, shown.y_edges
    ax.fill_between([x[0], x[-1]], y[0], y[-1], color=HIDDEN, linewidth=0, zorder=0)
    draw_coastlines(ax)
    ax.set(xlim=(whole.x_edges[0], whole.x_edges[-1]), ylim=(-90, 90), xticks=[])
    ax.set_yticks([-60, 0, 60], ["60°S", "0°", "60°N"] if labelled else [])
    ax.tick_params(labelsize=6.5, length=2, pad=2)
    ax.spines[:].set(visible=True, linewidth=0.5)
    ax.grid(False)
    ax.set_title(shown.caption, fontsize=7.5, pad=4)


def _colour_bar(figure: Figure, mesh: QuadMesh) -> None:
    height = figure.get_figheight()
    bar_axes = figure.add_axes((LEFT / WIDTH, 0.42 / height, 3.2 / WIDTH, 0.09 / height))
    bar = figure.colorbar(mesh, cax=bar_axes, orientation="horizontal", extend="both")
    bar.outline.set_visible(False)
    bar.set_label("standard deviations from the training days' mean")
    note = "Grey: hidden from the encoder or missing. White: outside the crop. North is up."
    figure.text((LEFT + 3.6) / WIDTH, 0.42 / height, note, color=MUTED, fontsize=8)
