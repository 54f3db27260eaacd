"""Where a map's edges lie, its proportions and the degrees along it, for the globe and regions."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sparta_ray.base.grids import Vector, latitude_edges, longitude_edges

FLATTEST, TALLEST = 0.3, 1.5
"""Least and greatest height of a map as a share of its width."""

_GLOBAL_TICKS = {"longitude": range(-180, 361, 90), "latitude": (-60, 0, 60)}
_GLOBE = {"longitude": 360, "latitude": 180}
_SIGNS = {"longitude": "EW", "latitude": "NS"}


def cell_edges(longitude: Vector, latitude: Vector) -> tuple[Vector, Vector]:
    """Return longitudes and latitudes between cells and around them, (X + 1,) and (Y + 1,)."""
    return longitude_edges(longitude), latitude_edges(latitude)


def height_of_width(x_edges: Vector, y_edges: Vector) -> float:
    """Return how high a map is for its width, true to scale at its middle latitude.

    One half for the globe; very long or tall regions are kept within what fits on a page.
    """
    width, height = np.ptp(x_edges), np.ptp(y_edges)
    middle = np.cos(np.deg2rad((y_edges.min() + y_edges.max()) / 2))
    return float(np.clip(height / (width * middle), FLATTEST, TALLEST))


def fit_to(ax: Axes, x_edges: Vector, y_edges: Vector) -> None:
    """Show what lies between these edges, west on the left and north on top."""
    ax.set(xlim=(x_edges.min(), x_edges.max()), ylim=(y_edges.min(), y_edges.max()))


def show_degrees(ax: Axes, longitudes: bool, latitudes: bool) -> None:
    """Mark the degrees along a map's sides; write them where wanted."""
    x, y = degree_ticks("longitude", ax.get_xlim()), degree_ticks("latitude", ax.get_ylim())
    ax.set_xticks(x, [degrees_text("longitude", tick) for tick in x] if longitudes else [])
    ax.set_yticks(y, [degrees_text("latitude", tick) for tick in y] if latitudes else [])
    ax.tick_params(labelsize=6.5, length=2, pad=2)


def degree_ticks(axis: str, ends: Sequence[float]) -> list[float]:
    """Return the degrees to mark between two ends: a few round ones of a region.

    Args:
        axis: ``longitude`` or ``latitude``.
        ends: The least and the greatest degree shown.
    """
    low, high = ends
    if np.isclose(high - low, _GLOBE[axis]):
        return [float(tick) for tick in _GLOBAL_TICKS[axis] if low <= tick < high]
    ticks = MaxNLocator(4, steps=[1, 2, 3, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in ticks if low <= tick <= high]


def degrees_text(axis: str, degrees: float) -> str:
    """Return degrees in words, such as ``10°W`` for 350 or -10° east."""
    signed = (degrees + 180) % 360 - 180 if axis == "longitude" else degrees
    if signed in (0, -180):
        return f"{abs(signed):g}°"
    return f"{abs(signed):g}°{_SIGNS[axis][signed < 0]}"
