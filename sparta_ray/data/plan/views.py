"""Views: their sizes, and resize, crop and mean filter as a matrix for each axis."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT

Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ViewConfig:
    """Sizes of the views, longitude × latitude.

    Attributes:
        resize: Longitudes and latitudes of the resized field, before cropping [points].
        crop: Longitudes and latitudes of every view [points].
        filter: Width of the mean filter, an odd number [points].
        periodic: Whether longitude is periodic: resizing and filtering then reach across its ends,
            and the filter averages only points that exist, including those just outside the crop.
            As published, the map has a seam, and zeros beyond the crop darken its edges.
    """

    resize: tuple[int, int] = (160, 80)
    crop: tuple[int, int] = (144, 72)
    filter: int = Field(default=5, ge=1)
    periodic: bool = False

    @model_validator(mode="after")
    def _check_sizes(self) -> "ViewConfig":
        if any(r < c or c < 1 for r, c in zip(self.resize, self.crop, strict=True)):
            raise ValueError(f"crop {self.crop} must fit into resize {self.resize}")
        if self.filter % 2 == 0:
            raise ValueError(f"filter {self.filter} must be odd to be centred")
        return self

    @property
    def crop_positions(self) -> tuple[int, int]:
        """Offsets to choose from along each side: 17 × 9 as published."""
        return self.resize[0] - self.crop[0] + 1, self.resize[1] - self.crop[1] + 1


def bicubic_matrix(source: int, target: int, periodic: bool = False, a: float = -0.75) -> Matrix:
    """Return the resize operator of one axis, shape (target, source).

    Cubic convolution with half-pixel centres, without antialiasing. Beyond the ends, edge values
    are repeated, or the axis goes on at its other end if it is periodic.
    """
    centre = (np.arange(target) + 0.5) * source / target - 0.5
    first = np.floor(centre).astype(int) - 1
    matrix = np.zeros((target, source))
    for tap in range(4):
        index = first + tap
        weight = _cubic(np.abs(centre - index), a)
        inside = index % source if periodic else index.clip(0, source - 1)
        np.add.at(matrix, (np.arange(target), inside), weight)
    return matrix


def _cubic(distance: Matrix, a: float) -> Matrix:
    near = (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    far = a * distance**3 - 5 * a * distance**2 + 8 * a * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def mean_filter_matrix(size: int, width: int) -> Matrix:
    """Return the running mean of one axis with zeros beyond the edge, shape (size, size)."""
    offset = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    return np.where(offset <= width // 2, 1.0 / width, 0.0)


def periodic_filter_matrix(size: int, width: int) -> Matrix:
    """Return the running mean of one axis that goes round, shape (size, size)."""
    matrix = np.zeros((size, size))
    for shift in range(-(width // 2), width // 2 + 1):
        matrix += np.roll(np.eye(size), shift, axis=1) / width
    return matrix


def crop_operators(source: int, resized: int, cropped: int, width: int) -> Matrix:
    """Return filter · crop · resize of one axis for every offset, (offsets, cropped, source)."""
    resize = bicubic_matrix(source, resized)
    mean = mean_filter_matrix(cropped, width)
    return np.stack([mean @ resize[i : i + cropped] for i in range(resized - cropped + 1)])


def seamless_crop_operators(
    source: int, resized: int, cropped: int, width: int, periodic: bool
) -> Matrix:
    """Return crop · filter · resize of one axis for every offset, (offsets, cropped, source).

    The filter runs before the crop, over an axis that is periodic (longitude) or ends (latitude);
    where it ends, the mean is of the points there are.
    """
    if periodic:
        mean = periodic_filter_matrix(resized, width)
    else:
        mean = mean_filter_matrix(resized, width)
        mean /= mean.sum(axis=1, keepdims=True)
    smooth = mean @ bicubic_matrix(source, resized, periodic)
    return np.stack([smooth[i : i + cropped] for i in range(resized - cropped + 1)])


def nearest_cells(source: int, target: int) -> NDArray[np.int64]:
    """Return which of `source` cells each of `target` resized points lies in, shape (target,)."""
    return (2 * np.arange(target) + 1) * source // (2 * target)


def cropped_cells(source: int, resized: int, cropped: int) -> NDArray[np.int64]:
    """Return the cells of the points of one axis' crop at every offset, (offsets, cropped)."""
    return np.lib.stride_tricks.sliding_window_view(nearest_cells(source, resized), cropped)
