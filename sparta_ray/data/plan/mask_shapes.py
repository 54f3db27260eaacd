"""Mask shapes: where hidden values lie, by chance as published or as real gaps do.

A mask is drawn on a map of V variables and I × J points, longitude × latitude, that is taken to
span 360° × 180°. Every shape hides the share it is asked for on average over masks, or as nearly
as it says.
"""

import math
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Discriminator, Field
from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT
from sparta_ray.base.seeding import derive_seed

Kept = NDArray[np.bool_]
MapSize = tuple[int, int, int]

_WORD = 2**16


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Points:
    """Every value of every variable is hidden independently, as published, in steps of 2⁻¹⁶."""

    kind: Literal["points"] = "points"

    def draw(self, source: np.random.Philox, ratio: float, size: MapSize) -> Kept:
        """Return which values are kept, shape (V, I, J)."""
        values = math.prod(size)
        words = source.random_raw(-(-values // 4)).view(np.uint16)[:values]
        return (words >= round(ratio * _WORD)).reshape(size)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Swath:
    """Only the swaths of a polar orbiter are kept, ascending and descending, in all variables.

    Each direction has equally wide, equally spaced swaths, as many as bring their width closest to
    `width`; everything else is hidden. The two directions start at independent longitudes.

    Attributes:
        width: Width of a swath [degrees of longitude].
        tilt: How far a swath moves in longitude from pole to pole [degrees].
    """

    kind: Literal["swath"] = "swath"
    width: float = Field(default=20.0, gt=0, le=360)
    tilt: float = Field(default=30.0, ge=0)

    def draw(self, source: np.random.Philox, ratio: float, size: MapSize) -> Kept:
        """Return which values are kept, shape (V, I, J)."""
        longitude, latitude = _centres(size)
        seen = 1 - math.sqrt(ratio)  # by each direction: both together see 1 - ratio
        swaths = max(1, round(360 * seen / self.width))
        kept = np.zeros(size[1:], dtype=bool)
        phases = np.random.Generator(source).uniform(size=2)
        for tilt, phase in zip((self.tilt, -self.tilt), phases, strict=True):
            position = np.add.outer(longitude, latitude * tilt / 180) * swaths / 360 + phase
            kept |= position % 1 < seen
        return np.broadcast_to(kept, size)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Block:
    """Whole blocks of a chequered map are hidden, in all variables, as by clouds or outages.

    The blocks are placed anew for each mask. The share of hidden blocks is within one block of the
    ratio; blocks along the poles may be cut off.

    Attributes:
        size: Side of a block, rounded so that a whole number of blocks spans the map [degrees].
    """

    kind: Literal["block"] = "block"
    size: float = Field(default=30.0, gt=0, le=180)

    def draw(self, source: np.random.Philox, ratio: float, size: MapSize) -> Kept:
        """Return which values are kept, shape (V, I, J)."""
        rng = np.random.Generator(source)
        longitude, latitude = _centres(size)
        columns, rows = round(360 / self.size), round(180 / self.size)
        column = np.floor(longitude * columns / 360 + rng.uniform()).astype(int) % columns
        row = np.floor((latitude + 90) * rows / 180 + rng.uniform()).astype(int)
        kept = ~_hide(rng, ratio, columns * (rows + 1)).reshape(columns, rows + 1)
        return np.broadcast_to(kept[np.ix_(column, row)], size)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Stations:
    """Only a network of stations is kept, the same for all variables and days.

    The network is drawn once, evenly over the sphere's area, so that stations near the poles are
    rare. A lower ratio adds stations and moves none; at least one is always kept. The network is
    fixed to what is masked: to the grid, or to the view, wherever that was cropped.

    Attributes:
        seed: Seed that chooses the network.
    """

    kind: Literal["stations"] = "stations"
    seed: int = Field(default=0, ge=0)

    def draw(self, source: np.random.Philox, ratio: float, size: MapSize) -> Kept:
        """Return which values are kept, shape (V, I, J); the source of chance is not used."""
        stations = max(1, round((1 - ratio) * size[1] * size[2]))
        return np.broadcast_to(_station_order(self.seed, size) < stations, size)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Variables:
    """Whole variables are hidden, never all of them.

    With V variables the share hidden is right on average up to (V - 1) / V, and no more than that.
    """

    kind: Literal["variables"] = "variables"

    def draw(self, source: np.random.Philox, ratio: float, size: MapSize) -> Kept:
        """Return which values are kept, shape (V, I, J)."""
        kept = ~_hide(np.random.Generator(source), ratio, size[0], most=size[0] - 1)
        return np.broadcast_to(kept[:, None, None], size)


MaskShape = Annotated[Points | Swath | Block | Stations | Variables, Discriminator("kind")]


def _centres(size: MapSize) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return longitudes from 0 to 360, shape (I,), and latitudes from -90 to 90, shape (J,)."""
    longitude, latitude = ((np.arange(points) + 0.5) / points for points in size[1:])
    return longitude * 360, latitude * 180 - 90


def _hide(
    rng: np.random.Generator, ratio: float, count: int, most: int | None = None
) -> NDArray[np.bool_]:
    """Choose which of `count` things are hidden: ratio · count, rounded up or down by chance."""
    hidden = int(ratio * count + rng.uniform())
    hidden = hidden if most is None else min(hidden, most)
    chosen: NDArray[np.bool_] = rng.permutation(count) < hidden
    return chosen


@lru_cache(maxsize=16)
def _station_order(seed: int, size: MapSize) -> NDArray[np.int64]:
    """Return when each point joins the network, 0 for the first, shape (I, J).

    A race of exponential waiting times draws points one by one with a chance proportional to their
    area.
    """
    rng = np.random.default_rng(derive_seed(seed, "stations"))
    _, latitude = _centres(size)
    waiting = rng.exponential(size=size[1:]) / np.cos(np.deg2rad(latitude))
    order = np.empty(waiting.size, dtype=np.int64)
    order[waiting.ravel().argsort()] = np.arange(waiting.size)
    return order.reshape(size[1:])
