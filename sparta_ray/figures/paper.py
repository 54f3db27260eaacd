"""Figures that compare models: distances, augmented pairs, trajectories, robustness, errors."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sparta_ray.base.durations import DAY, StepLength
from sparta_ray.figures.display import display_of, in_sentence, model_name, model_order
from sparta_ray.figures.embeddings import YEAR, label_days, year_bar
from sparta_ray.figures.map_axes import cell_edges, height_of_width
from sparta_ray.figures.maps import colour_bar, draw_map
from sparta_ray.figures.style import (
    MUTED,
    SEASONAL,
    grid_of_panels,
    headline,
    label_below,
    line_looks,
    share_legend,
    styled,
)
from sparta_ray.figures.tsne import tsne
from sparta_ray.metrics.latent_space import (
    cycle_distances,
    principal_components,
    temporal_distances,
    total_variance,
)

SHOWN_PAIRS = 20
"""Days whose pairs of views are drawn, as in the background report."""


@styled
def distance_series(embeddings: Mapping[str, xr.DataArray], order: int) -> Figure:
    """Draw temporal (order 1) or cycle distances (order 2) of models, plain and relative.

    Args:
        embeddings: By model, of consecutive days, dims (time, component).
        order: Which distance.
    """
    name, symbol = {
        1: ("temporal distance", "‖h(t) − h(t−1)‖²"),
        2: ("cycle distance", "‖h(t−1) − 2 h(t) + h(t+1)‖²"),
    }[order]
    distances_of = temporal_distances if order == 1 else cycle_distances
    figure, axes = grid_of_panels(2, 1, 1.9, sharex=True)
    means = []
    for model, look in line_looks(model_order(embeddings)).items():
        h = embeddings[model]
        values, variance = distances_of(h.values), total_variance(h.values)
        days = h.time.values[1 : len(values) + 1]
        for ax, divisor in zip(axes, (1.0, variance), strict=True):
            ax.plot(days, values / divisor, label=model_name(model), **look | {"linewidth": 0.9})
        means.append(f"{in_sentence(model)} {values.mean() / variance:.2f}")
    axes[0].set_title(f"{name} {symbol}")
    axes[0].set_ylabel("squared distance (no units)")
    axes[0].set_yscale("log")
    axes[1].set_title(f"{name} / total variance")
    axes[1].set_ylabel("relative to variance")
    axes[1].set_ylim(bottom=0)
    for ax in axes:
        label_days(ax)
    label_below(axes, 1, "day")
    headline(figure, f"Mean {name} relative to the total variance: {', '.join(means)}")
    share_legend(figure, axes[0])
    return figure


@styled
def pairs_pca(pairs: xr.DataArray, model: str, step: StepLength = DAY) -> Figure:
    """Draw two augmented views of each of some days in the plane of two principal components.

    Args:
        pairs: Dims (view, time, component), two views; the first days of it are drawn.
        model: Whose embeddings.
        step: How long a step is.
    """
    h = pairs.transpose("view", "time", "component")[:, :SHOWN_PAIRS]
    views, days, _ = h.shape
    components, share = principal_components(h.values.reshape(views * days, -1), 2)
    xy = components.reshape(views, days, 2)
    figure, (ax,) = grid_of_panels(1, 1, 3.6)
    for day in range(days):
        ax.plot(*xy[:, day].T, color=MUTED, linewidth=0.6, zorder=1)
    of_year = pd.DatetimeIndex(h.time.values).day_of_year
    for view, marker in zip(xy, "os", strict=True):
        ax.scatter(*view.T, 22, of_year, marker=marker, norm=YEAR, cmap=SEASONAL, zorder=2)
    ax.set_xlabel(f"component 1 ({100 * share[0]:.0f} % of variance)")
    ax.set_ylabel(f"component 2 ({100 * share[1]:.0f} % of variance)")
    year_bar(figure, [ax])
    apart = np.linalg.norm(xy[0] - xy[1], axis=1).mean()
    others = np.linalg.norm(xy[0][:, None] - xy[1][None], axis=2)
    between = others[~np.eye(days, dtype=bool)].mean()
    headline(
        figure,
        f"{model_name(model)}: in this plane, views of one {step.noun} are {apart / between:.2f} "
        f"times as far apart as views of different {step.nouns}",
    )
    return figure


@styled
def trajectories(
    embeddings: Mapping[str, xr.DataArray],
    look_back: int,
    stride: int,
    seed: int = 0,
    step: StepLength = DAY,
) -> Figure:
    """Draw look-back windows' mean embeddings by t-SNE, each with an arrow to the next day.

    Args:
        embeddings: By model, of consecutive days, dims (time, component).
        look_back: Steps of a window.
        stride: Steps between two windows' starts.
        seed: Of t-SNE.
        step: How long a step is.
    """
    models = model_order(embeddings)
    figure, axes = grid_of_panels(len(models), 2, 3.3)
    windows = 0
    for ax, model in zip(axes, models, strict=True):
        h = embeddings[model].transpose("time", "component").values.astype(np.float64)
        starts = np.arange(0, len(h) - look_back, stride)
        means = np.stack([h[start : start + look_back].mean(axis=0) for start in starts])
        windows = len(starts)
        xy = tsne(np.concatenate([means, h[starts + look_back]]), seed)
        here, there = xy[:windows], xy[windows:]
        days = pd.DatetimeIndex(embeddings[model].time.values[starts]).day_of_year
        ax.scatter(*here.T, 10, days, norm=YEAR, cmap=SEASONAL, zorder=2)
        # Arrows alone do not widen the axes, so their ends are drawn as points too.
        ax.scatter(*there.T, 2, days, norm=YEAR, cmap=SEASONAL, zorder=2)
        towards = there - here
        arrows = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.003}
        ax.quiver(*here.T, *towards.T, days, norm=YEAR, cmap=SEASONAL, alpha=0.7, **arrows)
        ax.set_title(model_name(model))
        ax.set_xlabel("t-SNE axis 1 (no units)")
        ax.set_ylabel("t-SNE axis 2 (no units)")
    year_bar(figure, list(axes))
    length = step.lasting(look_back)
    headline(figure, f"{windows} windows of {length}, with an arrow to the {step.noun} after each")
    return figure


@styled
def robustness_curves(curves: Mapping[str, xr.DataArray], measure: str) -> Figure:
    """Draw a measure against the share hidden, a panel for each mask shape that was measured.

    Args:
        curves: By model, dims (seed, measure, place, shape, ratio).
        measure: ``standardised error`` or ``agreement``.
    """
    first = next(iter(curves.values()))
    shapes = [str(shape) for shape in first.dropna("shape", how="all")["shape"].values]
    figure, axes = grid_of_panels(len(shapes), 3, 1.9, sharex=True, sharey=True)
    dashes = {"view": "-", "grid": (0, (3, 1.5))}
    for ax, shape in zip(axes, shapes, strict=True):
        for model, look in line_looks(model_order(curves)).items():
            for place, style in dashes.items():
                of_seeds = curves[model].sel(measure=measure, place=place, shape=shape)
                ends = of_seeds.min("seed"), of_seeds.max("seed")
                ax.fill_between(of_seeds.ratio, *ends, color=look["color"], alpha=0.15, linewidth=0)
                label = model_name(model) if place == "view" else None
                values = of_seeds.mean("seed")
                ax.plot(values.ratio, values, label=label, **look | {"linestyle": style})
        ax.set_title(f"hidden: {shape}")
        ax.set_ylabel("standardised error" if measure != "agreement" else "cosine")
    label_below(axes, 3, "share of hidden values")
    text = {
        "standardised error": "Reconstruction error by share of hidden values",
        "agreement": "Agreement of masked and whole days' embeddings by share of hidden values",
    }[measure]
    headline(figure, f"{text}; dashed: hidden on the data's grid")
    share_legend(figure, axes[0])
    return figure


@styled
def forecast_errors(panels: xr.DataArray, ends: Mapping[str, float], title: str) -> Figure:
    """Draw a forecast's absolute error for every variable.

    Args:
        panels: Dims (panel, variable, longitude, latitude), with a panel ``error``, in SI units.
        ends: Upper end of each variable's colour scale, in SI units, shared between models.
        title: What the figure shows.
    """
    errors = abs(panels.sel(panel="error")).transpose("variable", "longitude", "latitude")
    labels = [str(label) for label in errors["variable"].values]
    tall = 3.8 * height_of_width(*cell_edges(errors["longitude"].values, errors["latitude"].values))
    figure, axes = grid_of_panels(len(labels), 2, tall)
    for ax, label in zip(axes, labels, strict=True):
        shown = display_of(label)
        values = errors.sel(variable=label) * shown.factor
        norm = Normalize(0, ends[label] * shown.factor or 1.0)
        mesh = draw_map(ax, values, "magma_r", norm)
        ax.set_title(f"{shown.name}, mean {float(values.mean()):.3g} {shown.units}")
        ax.set_xlabel("longitude (°E)")
        ax.set_ylabel("latitude (°N)")
        colour_bar(figure, ax, mesh, f"absolute error ({shown.units})")
    headline(figure, title)
    return figure


def shared_ends(panels: Sequence[xr.DataArray]) -> dict[str, float]:
    """Return the largest absolute error of each variable in any of some forecasts."""
    ends: dict[str, float] = {}
    for array in panels:
        errors: NDArray[np.float64] = (
            abs(array.sel(panel="error")).max(("longitude", "latitude")).values
        )
        for label, value in zip(map(str, array["variable"].values), errors, strict=True):
            ends[label] = max(ends.get(label, 0.0), float(value))
    return ends
