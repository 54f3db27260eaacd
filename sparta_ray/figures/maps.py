"""Maps of fields: truth, input, reconstruction or forecast, and error, side by side."""

import textwrap
from collections.abc import Collection
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from sparta_ray.base.grids import latitude_edges
from sparta_ray.figures.coastlines import coastlines
from sparta_ray.figures.display import Display, display_of
from sparta_ray.figures.style import INK, WIDTH, headline, styled

HIDDEN = "#dcdcdc"
"""Colour of missing values (NaN), which were hidden from the model or are unknown."""

CLIPPED = 0.005
"""Share of values beyond each end of a colour scale, so that outliers do not dominate it."""

LEFT, RIGHT, TOP, BOTTOM, LINE = 0.62, 0.42, 0.36, 0.42, 0.14
BAR, BAR_GAP, GAP, GROUP_GAP, ROW_GAP = 0.07, 0.06, 0.09, 0.44, 0.24
"""Margins, the height of a title's line, colour bars and gaps, in inches."""

TITLE_CHARACTERS = 72
"""Number of characters that fit above all panels of a row together."""


@styled
def field_maps(
    panels: xr.DataArray, title: str, error_panels: Collection[str] = ("error",)
) -> Figure:
    """Draw maps, a row for each variable and a column for each panel.

    The field panels of a row share one colour scale, its error panels another, symmetric one.
    NaN, a value hidden from the model, is grey.

    Args:
        panels: Dimensions (panel, variable, longitude, latitude) in SI units; ``panel`` holds the
            columns' titles, such as truth, masked input, reconstruction, error.
        title: What the figure shows.
        error_panels: Which of them are differences; they stand on the right.
    """
    panels = panels.transpose("panel", "variable", "longitude", "latitude")
    names = [str(name) for name in panels["panel"].values]
    ordered = sorted(names, key=lambda name: name in error_panels)
    fields = sum(name not in error_panels for name in names)
    titles = [textwrap.fill(name, TITLE_CHARACTERS // len(names)) for name in ordered]
    lines = 1 + max(title.count("\n") for title in titles)
    figure, axes, bars = _layout(panels.sizes["variable"], fields, len(names) - fields, lines)
    for row, label in enumerate(map(str, panels["variable"].values)):
        shown = display_of(label)
        values = panels.isel(variable=row).sel(panel=ordered) * shown.factor
        for kind, part in enumerate((slice(0, fields), slice(fields, len(names)))):
            if values[part].size:
                mesh = _draw_row(axes[row, part], values[part], shown, is_error=kind == 1)
                _colour_bar(figure, bars[row, kind], mesh, shown)
        axes[row, 0].set_ylabel(shown.name.replace(", ", "\n"), fontsize=7)
    _label_edges(axes, titles)
    headline(figure, title, y=1 - 0.08 / figure.get_figheight())
    return figure


def _layout(
    rows: int, fields: int, errors: int, title_lines: int
) -> tuple[Figure, NDArray[np.object_], NDArray[np.object_]]:
    """Return a figure, its maps (twice as wide as high) and its colour bars, a row each.

    Every group of maps, of fields and of errors, has one colour bar on its right.
    """
    groups = [count for count in (fields, errors) if count]
    bars = len(groups) * (BAR_GAP + BAR) + (len(groups) - 1) * GROUP_GAP
    gaps = (sum(groups) - len(groups)) * GAP
    width = (WIDTH - LEFT - RIGHT - bars - gaps) / sum(groups)
    top = TOP + title_lines * LINE
    height = top + rows * width / 2 + (rows - 1) * ROW_GAP + BOTTOM
    figure = Figure(figsize=(WIDTH, height))
    maps, colour_bars = np.empty((rows, sum(groups)), object), np.empty((rows, 2), object)
    for row in range(rows):
        y = height - top - (row + 1) * width / 2 - row * ROW_GAP
        x = LEFT
        for column in range(sum(groups)):
            maps[row, column] = _box(figure, x, y, width, width / 2, "map")
            x += width + GAP
            if column + 1 in (fields, sum(groups)):
                x += BAR_GAP - GAP
                kind = int(column >= fields)
                colour_bars[row, kind] = _box(figure, x, y, BAR, width / 2, "bar")
                x += BAR + GROUP_GAP
    return figure, maps, colour_bars


def _box(figure: Figure, x: float, y: float, width: float, height: float, label: str) -> Axes:
    """Add axes at a place given in inches."""
    across, up = figure.get_size_inches()
    return figure.add_axes((x / across, y / up, width / across, height / up), label=label)


def _draw_row(
    axes: NDArray[np.object_], panels: xr.DataArray, shown: Display, is_error: bool
) -> QuadMesh:
    """Draw one variable's panels on one colour scale; return the last mesh."""
    norm = colour_scale(panels.values, symmetric=is_error or shown.signed)
    colours = "RdBu_r" if is_error else "PuOr_r" if shown.signed else "viridis"
    return [draw_map(ax, panel, colours, norm) for ax, panel in zip(axes, panels, strict=True)][-1]


def draw_map(ax: Axes, field: xr.DataArray, colours: str, norm: Normalize) -> QuadMesh:
    """Draw one field, dims (longitude, latitude), north up, with coasts; NaN is grey."""
    x, y = map_longitude_edges(field["longitude"].values), latitude_edges(field["latitude"].values)
    mesh: QuadMesh = ax.pcolormesh(x, y, field.values.T, cmap=colours, norm=norm)
    draw_coastlines(ax)
    ax.grid(False)
    ax.set(xlim=(x.min(), x.max()), ylim=(-90, 90), facecolor=HIDDEN)
    return mesh


def colour_bar(figure: Figure, ax: Axes, mesh: QuadMesh, label: str) -> None:
    """Add a colour bar on the right of a map."""
    bar = figure.colorbar(mesh, ax=ax, aspect=18, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label(label, fontsize=7)
    bar.ax.tick_params(labelsize=6.5, length=2, pad=1.5)


def draw_coastlines(ax: Axes) -> None:
    """Draw the coasts over a map, whose longitudes may start at any degree."""
    for shift in (-360, 0, 360):
        lines = [np.add(line, [shift, 0]) for line in coastlines()]
        for colour, width in (("#ffffff80", 1.0), (INK, 0.4)):  # seen on dark and on light
            shore = LineCollection(lines, colors=colour, linewidths=width)
            ax.add_collection(shore, autolim=False)


def colour_scale(values: NDArray[np.floating[Any]], symmetric: bool) -> Normalize:
    """Return one colour scale for all values but the outermost, around zero if symmetric."""
    known = values[np.isfinite(values)]
    if not known.size:
        return Normalize(0, 1)
    if symmetric:
        end = float(np.quantile(np.abs(known), 1 - 2 * CLIPPED)) or 1.0
        return Normalize(-end, end)
    low, high = np.quantile(known, [CLIPPED, 1 - CLIPPED])
    return Normalize(low, high if high > low else low + 1)


def map_longitude_edges(longitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the n + 1 edges for maps of any region: half-way between centres, or as far out."""
    inner = (longitude[1:] + longitude[:-1]) / 2
    return np.concatenate([[2 * longitude[0] - inner[0]], inner, [2 * longitude[-1] - inner[-1]]])


def _colour_bar(figure: Figure, ax: Axes, mesh: QuadMesh, shown: Display) -> None:
    bar = figure.colorbar(mesh, cax=ax, extend="both", extendfrac=0.04)
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(4, min_n_ticks=3)
    bar.update_ticks()
    ax.tick_params(labelsize=6.5, length=2, pad=1.5)
    ax.set_title(shown.units, fontsize=7, loc="left", pad=4)


def _label_edges(axes: NDArray[np.object_], titles: list[str]) -> None:
    """Write panel titles on top, longitudes below and latitudes on the left."""
    last = axes.shape[0] - 1
    for (row, column), ax in np.ndenumerate(axes):
        ax.grid(False)
        ax.spines[:].set(visible=True, linewidth=0.5)
        first = ax.get_xlim()[0]
        ticks = [tick for tick in range(-180, 361, 90) if first <= tick < first + 360]
        ax.set_xticks(ticks, [_degrees(t, "EW") for t in ticks] if row == last else [])
        ax.set_yticks([-60, 0, 60], ["60°S", "0°", "60°N"] if column == 0 else [])
        ax.tick_params(labelsize=6.5, length=2, pad=2)
        if row == 0:
            ax.set_title(titles[column], pad=5)
        if row == last:
            ax.set_xlabel("longitude", fontsize=7, labelpad=1)


def _degrees(longitude: int, signs: str) -> str:
    east = (longitude + 180) % 360 - 180
    if east in (0, -180):
        return f"{abs(east):g}°"
    return f"{abs(east):g}°{signs[east < 0]}"
