"""Coastlines for maps, from the bundled TopoJSON of Natural Earth's 1:110 million land."""

import functools
import json
from importlib import resources

import numpy as np
from numpy.typing import NDArray


@functools.cache
def coastlines() -> tuple[NDArray[np.float64], ...]:
    """Return the world's coastlines as lines of shape (n, 2): longitude 0..360, latitude.

    No line crosses the seam at 0 = 360 degrees: one that would is cut there in two.
    """
    source = resources.files("sparta_ray.figures") / "land" / "land-110m.json"
    topology = json.loads(source.read_text())
    scale, origin = (np.array(topology["transform"][key]) for key in ("scale", "translate"))
    lines: list[NDArray[np.float64]] = []
    for arc in topology["arcs"]:  # each point is stored as a step from the one before
        for shore in _without_date_line(np.cumsum(arc, axis=0) * scale + origin):
            lines += split_at_seam(shore)
    return tuple(lines)


def _without_date_line(line: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Cut out stretches along 180 degrees, where the source closes its polygons on open land."""
    at_edge = np.isclose(np.abs(line[:, 0]), 180)
    pieces = np.split(line, np.flatnonzero(at_edge[:-1] & at_edge[1:]) + 1)
    return [piece for piece in pieces if len(piece) > 1]


def split_at_seam(line: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Cut a line of (longitude, latitude) where it crosses 0 degrees, wrapped to 0..360.

    The crossing itself, interpolated, ends one piece and begins the next.

    Example:
        (350, 0) to (10, 4) becomes (350, 0), (360, 2) and (0, 2), (10, 4).
    """
    longitude, latitude = np.unwrap(line[:, 0], period=360), line[:, 1]
    turn = np.floor(longitude / 360)
    before = np.flatnonzero(np.diff(turn))
    after = before + 1
    seam = 360 * np.maximum(turn[before], turn[after])
    share = (seam - longitude[before]) / (longitude[after] - longitude[before])
    crossing = np.column_stack([seam, (1 - share) * latitude[before] + share * latitude[after]])
    points = np.column_stack([longitude, latitude])
    points = np.insert(points, np.repeat(after, 2), np.repeat(crossing, 2, axis=0), axis=0)
    pieces = np.split(points, after + 1 + 2 * np.arange(len(after)))
    return [piece - [360 * np.floor(piece[:, 0].mean() / 360), 0] for piece in pieces]
