"""Latitude-longitude grids: which there are, their cells, and the share of the sphere of each.

A grid is global or a region by its own coordinates, and each axis on its own: longitudes may close
the circle (`closes_circle`), and latitudes may reach the poles (`reaches_poles`). An axis that does
neither ends half a spacing beyond its outermost centres.

Legend: X longitudes, Y latitudes.
"""

from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Discriminator, Field, field_validator
from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT

Vector = NDArray[np.float64]

_ROUNDING = 1e-3
"""Share of a spacing by which coordinates in float32 may be off."""


@plain_dataclass(frozen=True, eq=False)
class Grid:
    """The centres of a grid's cells.

    Attributes:
        longitude: Degrees east, ascending; a region that contains 0° east begins below 0, shape
            (X,).
        latitude: Degrees north, ascending, shape (Y,).
    """

    longitude: Vector
    latitude: Vector

    @property
    def is_global(self) -> bool:
        """Whether the cells cover the globe."""
        return closes_circle(self.longitude) and reaches_poles(self.latitude)

    @property
    def shape(self) -> tuple[int, int]:
        """(X, Y)."""
        return len(self.longitude), len(self.latitude)

    def same_as(self, other: "Grid") -> bool:
        """Return whether the centres agree to the precision of coordinates in float32."""
        return self.shape == other.shape and all(
            np.allclose(ours, theirs, rtol=0, atol=1e-4)
            for ours, theirs in (
                (self.longitude, other.longitude),
                (self.latitude, other.latitude),
            )
        )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SourceGrid:
    """The source's own grid: nothing is regridded."""

    kind: Literal["source"] = "source"

    def grid(self, source: Grid) -> Grid:
        """Return `source`."""
        return source


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EquiangularGrid:
    """Evenly spaced centres; without poles, 64 x 32 is WeatherBench 2's 5.625° grid.

    Attributes:
        longitudes: Number of longitudes; the first lies at 0° east.
        latitudes: Number of latitudes.
        poles: Whether the outermost latitudes are the poles, as on grids of 240 x 121 and 1440 x
            721.
    """

    kind: Literal["equiangular"]
    longitudes: int = Field(default=64, ge=2)
    latitudes: int = Field(default=32, ge=2)
    poles: bool = False

    def grid(self, source: Grid) -> Grid:
        """Return the grid; the source's does not matter."""
        if self.poles:
            latitude = np.linspace(-90, 90, self.latitudes)
        else:
            latitude = -90 + 180 * (np.arange(self.latitudes) + 0.5) / self.latitudes
        return Grid(_even_longitudes(self.longitudes), latitude)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GaussianGrid:
    """Latitudes at the nodes of Gauss-Legendre quadrature, as spectral models have them.

    Attributes:
        longitudes: Number of longitudes; the first lies at 0° east.
        latitudes: Number of latitudes.
    """

    kind: Literal["gaussian"]
    longitudes: int = Field(ge=2)
    latitudes: int = Field(ge=2)

    def grid(self, source: Grid) -> Grid:
        """Return the grid; the source's does not matter."""
        sines, _ = np.polynomial.legendre.leggauss(self.latitudes)
        return Grid(_even_longitudes(self.longitudes), np.rad2deg(np.arcsin(sines)))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OwnGrid:
    """Any centres of cells.

    Attributes:
        longitude: Longitudes, ascending within 0 to 360 [degrees east].
        latitude: Latitudes, ascending [degrees north].
    """

    kind: Literal["own"]
    longitude: tuple[float, ...] = Field(min_length=2)
    latitude: tuple[float, ...] = Field(min_length=2)

    @field_validator("longitude", "latitude")
    @classmethod
    def _check_order(cls, degrees: tuple[float, ...]) -> tuple[float, ...]:
        if not (np.diff(degrees) > 0).all():
            raise ValueError("write the degrees in ascending order")
        return degrees

    @field_validator("longitude")
    @classmethod
    def _check_longitude(cls, degrees: tuple[float, ...]) -> tuple[float, ...]:
        if degrees[0] < 0 or degrees[-1] >= 360:
            raise ValueError("longitudes lie from 0 to below 360 degrees east")
        return degrees

    @field_validator("latitude")
    @classmethod
    def _check_latitude(cls, degrees: tuple[float, ...]) -> tuple[float, ...]:
        if degrees[0] < -90 or degrees[-1] > 90:
            raise ValueError("latitudes lie from -90 to 90 degrees north")
        return degrees

    def grid(self, source: Grid) -> Grid:
        """Return the grid; the source's does not matter."""
        return Grid(np.array(self.longitude), np.array(self.latitude))


GridConfig = Annotated[SourceGrid | EquiangularGrid | GaussianGrid | OwnGrid, Discriminator("kind")]


def closes_circle(longitude: Vector) -> bool:
    """Return whether cells centred on `longitude` go round the globe without a hole.

    They do if the widest gap between neighbours is less than twice as wide as the others: a circle
    that lacks one of its evenly spaced cells, or more, is a region.

    Args:
        longitude: Centres in degrees east, ascending within 360 degrees, shape (n,).
    """
    if len(longitude) == 1:  # no spacing tells otherwise
        return True
    gaps = np.sort(np.diff(longitude, append=longitude[0] + 360))
    return bool(gaps[-1] < (2 - _ROUNDING) * np.median(gaps[:-1]))


def reaches_poles(latitude: Vector) -> bool:
    """Return whether the outermost cells, centred on `latitude`, are those at both poles.

    They are if half a spacing beyond the outermost centres is less than a spacing from the pole, as
    on all global grids: evenly spaced ones, with the poles or without, and Gaussian ones. A globe
    that lacks its outermost rows is a region.

    Args:
        latitude: Centres in degrees north, ascending or descending, shape (n,).
    """
    if len(latitude) == 1:
        return True
    spacing = np.abs(np.diff(latitude))[[0, -1]]
    beyond = 90 - np.abs(latitude[[0, -1]]) - spacing / 2
    opposite = latitude[0] * latitude[-1] < 0
    return bool(opposite and (beyond < (1 - _ROUNDING) * spacing).all())


def without_break(longitude: Vector) -> Vector:
    """Return longitudes in one range of degrees east within which no cell has lost its neighbour.

    That is 0 … 360, but below 0 for what a region that contains 0° east has in the west of it.

    Args:
        longitude: Centres in degrees east, in any order and range, shape (n,).

    Example:
        350, 355, 0, 5 becomes -10, -5, 0, 5.
    """
    east: Vector = longitude % 360
    ascending = np.sort(east)
    if closes_circle(ascending):
        return east
    widest = int(np.diff(ascending, append=ascending[0] + 360).argmax())
    if widest == len(ascending) - 1:
        return east
    return np.where(east > ascending[widest], east - 360, east)


def latitude_edges(latitude: Vector) -> Vector:
    """Return the n + 1 edges of cells centred on `latitude`.

    Edges lie half-way between centres. The outermost are the poles if the latitudes reach them,
    otherwise half a spacing beyond the outermost centres.

    Args:
        latitude: Centres in degrees north, ascending or descending, shape (n,).
    """
    if not reaches_poles(latitude):
        return _open_edges(latitude).clip(-90, 90)
    inner = (latitude[1:] + latitude[:-1]) / 2
    first, last = (-90.0, 90.0) if latitude[-1] > latitude[0] else (90.0, -90.0)
    return np.concatenate([[first], inner, [last]])


def longitude_edges(longitude: Vector) -> Vector:
    """Return the n + 1 edges of cells centred on `longitude`.

    Edges lie half-way between centres. The last is the first, 360 degrees on, if the longitudes
    close the circle; otherwise the outermost lie half a spacing beyond the outermost centres.

    Args:
        longitude: Centres in degrees east, ascending, shape (n,).
    """
    if not closes_circle(longitude):
        return _open_edges(longitude)
    inner = (longitude[1:] + longitude[:-1]) / 2
    seam = (longitude[-1] + longitude[0] + 360) / 2
    return np.concatenate([[seam - 360], inner, [seam]])


def area_weights(latitude: Vector) -> Vector:
    """Return each latitude's share of the grid's area, normalised to mean 1, shape (n,).

    The area between two latitudes is proportional to the difference of their sines, which also
    holds for cells centred on a pole, where the cosine would give zero.
    """
    area = np.abs(np.diff(np.sin(np.deg2rad(latitude_edges(latitude)))))
    weights: Vector = area / area.mean()
    return weights


def _open_edges(centres: Vector) -> Vector:
    """Return edges half-way between centres, and as far beyond the outermost."""
    inner = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - inner[0]], inner, [2 * centres[-1] - inner[-1]]])


def _even_longitudes(count: int) -> Vector:
    return np.arange(count) * 360.0 / count
