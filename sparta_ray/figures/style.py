"""The look that all figures share: sizes, colours, titles."""

import functools
import textwrap
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sparta_ray.metrics.records import is_baseline

Arguments = ParamSpec("Arguments")

WIDTH = 7.6
"""Width of every figure in inches: that of a printed page without its margins."""

INK, MUTED, FAINT = "#222222", "#6b6b6b", "#d9d9d9"

MODEL_COLOURS = {
    "sparta": "#0072B2",
    "sparta_early_hn_cycle": "#0072B2",
    "autoencoder": "#D55E00",
}
OTHER_COLOURS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette, whose colours differ in the common forms of colour blindness."""

BASELINE_LINES = {"persistence": (4.0, 1.8), "climatology": (1.2, 1.4), "mean field": (6, 2, 1, 2)}

SEASONAL = LinearSegmentedColormap.from_list(
    "seasonal", ["#0072B2", "#009E73", "#E69F00", "#CC79A7", "#0072B2"]
)
"""Cyclic colours of the year, all dark enough for white paper."""

STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e8e8e8",
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "white",
    "figure.titlesize": 9.5,
    "figure.titleweight": "bold",
}


def styled(draw: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Draw a figure in the shared style, independent of the user's matplotlib settings."""

    @functools.wraps(draw)
    def in_style(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(STYLE)
            figure = draw(*args, **kwargs)
            _settle(figure)
        return figure

    return in_style


def _settle(figure: Figure) -> None:
    """Lay a figure out once, so that it is not done again whenever it is saved.

    How many ticks an axis takes follows from the size of their labels, which matplotlib looks up
    when it draws: so the style's is written down, or a figure saved later would have other ticks.
    """
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            if "labelsize" not in axis.get_tick_params():
                axis.set_tick_params(labelsize=STYLE["xtick.labelsize"])
    if (engine := figure.get_layout_engine()) is None:
        figure.draw_without_rendering()
    else:
        engine.execute(figure)
        figure.set_layout_engine("none")


def grid_of_panels(
    count: int, columns: int, panel_height: float, **kwargs: Any
) -> tuple[Figure, NDArray[np.object_]]:
    """Return a figure with `count` panels in rows of `columns`, and the panels in a flat array."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH, rows * panel_height + 0.6), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **kwargs).ravel()
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def headline(figure: Figure, text: str, **place: float) -> None:
    """Write the finding above the figure, at its left edge."""
    fits = int(12 * figure.get_figwidth())
    figure.suptitle(textwrap.fill(text, fits), x=0.008, ha="left", **place)


def label_below(axes: NDArray[np.object_], columns: int, label: str) -> None:
    """Label the shared horizontal axis of panels under the lowest panel of each column."""
    for ax in axes[-columns:]:
        ax.tick_params(labelbottom=True)
        ax.set_xlabel(label)


def share_legend(figure: Figure, axes: Axes) -> None:
    """Show the legend of one panel's lines below all panels."""
    handles, labels = axes.get_legend_handles_labels()
    longest = max(map(len, labels), default=1)
    columns = max(1, min(5, len(labels), int(16 * figure.get_figwidth()) // (longest + 6)))
    figure.legend(handles, labels, loc="outside lower left", ncols=columns)


def line_looks(labels: Iterable[str]) -> dict[str, Any]:
    """Return each label's line: a colour for a model, dashed grey for a baseline."""
    others = iter(OTHER_COLOURS * 5)
    looks: dict[str, Any] = {}
    for label in dict.fromkeys(labels):
        if is_baseline(label):
            dashes = (0, BASELINE_LINES.get(label, (3.0, 3.0)))
            looks[label] = {"color": MUTED, "linestyle": dashes, "linewidth": 1.2}
        else:
            looks[label] = {"color": MODEL_COLOURS.get(label) or next(others), "linestyle": "-"}
    return looks
