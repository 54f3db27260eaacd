"""Figures of the embedding space: principal components and day-to-day distances."""

from collections.abc import Mapping
from typing import Any

import matplotlib.dates as mdates
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sparta_ray.base.durations import DAY, StepLength
from sparta_ray.figures.display import in_sentence, model_name, model_order
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

Floats = NDArray[np.floating[Any]]

YEAR = Normalize(1, 366)


@styled
def embedding_pca(
    components: Mapping[str, Floats],
    times: pd.DatetimeIndex,
    explained: Mapping[str, Floats],
    step: StepLength = DAY,
) -> Figure:
    """Draw steps in the plane of the first two principal components, a panel for each model.

    Consecutive steps are joined; colour is the day of the year.

    Args:
        components: By model, shape (T, 2).
        times: Beginnings of the T steps.
        explained: By model, the two components' shares of the variance, in 0..1.
        step: How long a step is.
    """
    models = model_order(components)
    figure, axes = grid_of_panels(len(models), min(len(models), 3), 3.1)
    for ax, model in zip(axes, models, strict=True):
        _plane(ax, components[model], times, step)
        ax.set_title(model_name(model))
        for axis, i in ((ax.xaxis, 0), (ax.yaxis, 1)):
            axis.set_label_text(
                f"component {i + 1} ({100 * explained[model][i]:.0f} % of variance)"
            )
    year_bar(figure, list(axes))
    shares = ", ".join(f"{100 * sum(explained[m][:2]):.0f} % ({in_sentence(m)})" for m in models)
    headline(
        figure,
        f"Embeddings of {len(times)} {step.nouns}; share of variance in this plane: {shares}",
    )
    return figure


def _plane(ax: Axes, components_T2: Floats, times: pd.DatetimeIndex, step: StepLength) -> None:
    gap = np.flatnonzero(np.diff(times.to_numpy()) > np.timedelta64(step.hours, "h")) + 1
    for piece in np.split(components_T2, gap):
        ax.plot(*piece.T, color=MUTED, linewidth=0.3, alpha=0.6, zorder=1)
    x, y = components_T2.T
    ax.scatter(x, y, 7, times.day_of_year, norm=YEAR, cmap=SEASONAL, linewidths=0, zorder=2)
    ax.set_aspect("equal", adjustable="datalim")


def year_bar(figure: Figure, axes: list[Axes]) -> None:
    """Add a colour bar of the days of the year below the panels."""
    mappable = ScalarMappable(YEAR, SEASONAL)
    bar = figure.colorbar(mappable, ax=axes, location="bottom", aspect=60, shrink=0.7, pad=0.03)
    months = pd.date_range("2000-01-01", "2000-12-31", freq="MS")
    bar.set_ticks(list(months.day_of_year), labels=list(months.strftime("%b")))
    bar.outline.set_visible(False)
    bar.set_label("day of the year")


@styled
def smoothness_series(
    temporal: Mapping[str, Floats],
    cycle: Mapping[str, Floats],
    variance: Mapping[str, float],
    times: pd.DatetimeIndex,
) -> Figure:
    """Draw distances between consecutive days' embeddings, plain and relative to the variance.

    Args:
        temporal: By model, ‖h_t - h_{t-1}‖², shape (T - 1,).
        cycle: By model, ‖h_{t-1} - 2 h_t + h_{t+1}‖², shape (T - 2,).
        variance: By model, the total variance the relative distances are divided by.
        times: The T days.
    """
    figure, axes = grid_of_panels(4, 2, 1.8, sharex=True)
    looks = line_looks(model_order(temporal))
    for model, look in looks.items():
        for column, (series, days) in enumerate(((temporal, times[1:]), (cycle, times[1:-1]))):
            for row, divisor in enumerate((1.0, variance[model])):
                ax = axes[2 * row + column]
                name = model_name(model)
                ax.plot(days, series[model] / divisor, label=name, **look | {"linewidth": 0.9})
    _label_smoothness(axes)
    means = ", ".join(
        f"{in_sentence(model)} {temporal[model].mean() / variance[model]:.2f}" for model in looks
    )
    headline(figure, f"Mean temporal distance relative to the total variance: {means}")
    share_legend(figure, axes[0])
    return figure


def _label_smoothness(axes: NDArray[np.object_]) -> None:
    titles = (
        "temporal distance ‖h(t) − h(t−1)‖²",
        "cycle distance ‖h(t−1) − 2 h(t) + h(t+1)‖²",
        "temporal distance / total variance",
        "cycle distance / total variance",
    )
    for ax, title in zip(axes, titles, strict=True):
        relative = "/" in title
        ax.set_title(title)
        ax.set_ylabel("relative to variance" if relative else "squared distance (no units)")
        if relative:
            ax.set_ylim(bottom=0)
        else:
            ax.set_yscale("log")
        label_days(ax)
    label_below(axes, 2, "day")


def label_days(ax: Axes) -> None:
    """Write few and short dates below a panel."""
    locator = mdates.AutoDateLocator(minticks=4)  # type: ignore[no-untyped-call]
    formatter = mdates.ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    ax.xaxis.set(major_locator=locator, major_formatter=formatter)
