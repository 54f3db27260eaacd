"""Latitude-longitude grids: which there are, their cells, and the share of the sphere of each.

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


@plain_dataclass(frozen=True, eq=False)
class Grid:
    """The centres of a grid's cells.

    Attributes:
        longitude: Degrees east, ascending from 0, shape (X,).
        latitude: Degrees north, ascending, shape (Y,).
    """

    longitude: Vector
    latitude: Vector

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


def latitude_edges(latitude: Vector) -> Vector:
    """Return the n + 1 edges of cells centred on `latitude`, closed at the poles.

    Edges lie half-way between centres; the outermost are the poles.

    Args:
        latitude: Centres in degrees north, ascending or descending, shape (n,).
    """
    inner = (latitude[1:] + latitude[:-1]) / 2
    first, last = (-90.0, 90.0) if latitude[-1] > latitude[0] else (90.0, -90.0)
    return np.concatenate([[first], inner, [last]])


def longitude_edges(longitude: Vector) -> Vector:
    """Return the n + 1 edges of cells centred on `longitude`, which go round the globe.

    Edges lie half-way between centres; the last is the first, 360 degrees on.

    Args:
        longitude: Centres in degrees east, ascending, shape (n,).
    """
    inner = (longitude[1:] + longitude[:-1]) / 2
    seam = (longitude[-1] + longitude[0] + 360) / 2
    return np.concatenate([[seam - 360], inner, [seam]])


def area_weights(latitude: Vector) -> Vector:
    """Return each latitude's share of the sphere's area, normalised to mean 1, shape (n,).

    The area between two latitudes is proportional to the difference of their sines, which also
    holds for cells centred on a pole, where the cosine would give zero.
    """
    area = np.abs(np.diff(np.sin(np.deg2rad(latitude_edges(latitude)))))
    weights: Vector = area / area.mean()
    return weights


def _even_longitudes(count: int) -> Vector:
    return np.arange(count) * 360.0 / count
