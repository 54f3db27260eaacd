"""Statistics of each variable over steps and grid points, merged exactly from parts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from sparta_ray.base.records import Count, Finite

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Statistics:
    """A mergeable accumulator per variable; V variables. Missing values, NaN, are left out.

    Attributes:
        count: Values seen, shape (V,).
        mean: Mean, in the variable's units, shape (V,); 0 where nothing was seen.
        squares: Sum of squared deviations from the mean, shape (V,).
        minimum: Least value, shape (V,).
        maximum: Greatest value, shape (V,).
    """

    count: NDArray[np.int64]
    mean: Vector
    squares: Vector
    minimum: Vector
    maximum: Vector

    @classmethod
    def zero(cls, variables: int) -> "Statistics":
        """Return the accumulator that has seen nothing."""
        none = np.zeros(variables)
        return cls(np.zeros(variables, np.int64), none, none, none + np.inf, none - np.inf)

    @classmethod
    def of(cls, x_TVXY: NDArray[np.float32]) -> "Statistics":
        """Return the statistics of some steps, accumulated in float64, one after another."""
        total = cls.zero(x_TVXY.shape[1])
        for x_VXY in x_TVXY:
            total = total.merge(cls._of_step(x_VXY.reshape(len(x_VXY), -1).astype(np.float64)))
        return total

    @classmethod
    def _of_step(cls, x_VN: Vector) -> "Statistics":
        there = ~np.isnan(x_VN)
        count = there.sum(axis=1)
        mean = x_VN.sum(axis=1, where=there) / np.maximum(count, 1)
        squares = ((x_VN - mean[:, None]) ** 2).sum(axis=1, where=there)
        least = x_VN.min(axis=1, where=there, initial=np.inf)
        greatest = x_VN.max(axis=1, where=there, initial=-np.inf)
        return cls(count, mean, squares, least, greatest)

    def merge(self, other: "Statistics") -> "Statistics":
        """Return the statistics of both parts together (Chan, Golub and LeVeque 1983)."""
        count = self.count + other.count
        share = other.count / np.maximum(count, 1)
        shift = other.mean - self.mean
        return Statistics(
            count,
            self.mean + shift * share,
            self.squares + other.squares + shift**2 * (self.count * share),
            np.minimum(self.minimum, other.minimum),
            np.maximum(self.maximum, other.maximum),
        )

    @property
    def std(self) -> Vector:
        """Unbiased standard deviation, shape (V,)."""
        return np.sqrt(self.squares / np.maximum(self.count - 1, 1))

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers; `from_json` restores them exactly."""
        return {name: getattr(self, name).tolist() for name in _NAMES}

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> "Statistics":
        """Restore what `to_json` returned."""
        lists = (np.array(state[name], np.float64) for name in _NAMES[1:])
        return cls(np.array(state["count"], np.int64), *lists)


def _no_nan(values: list[float]) -> list[float]:
    if any(math.isnan(value) for value in values):
        raise ValueError("holds NaN")
    return values


Extremes = Annotated[list[float], AfterValidator(_no_nan)]
"""Least or greatest values; infinite where nothing was seen."""


class _Lists(TypedDict):
    count: list[Count]
    mean: list[Finite]
    squares: list[Annotated[Finite, Field(ge=0)]]
    minimum: Extremes
    maximum: Extremes


def _alike(lists: _Lists) -> _Lists:
    if len({len(values) for values in lists.values()}) > 1:  # type: ignore[arg-type]
        raise ValueError("the lists have different lengths")
    return lists


StatisticsRecord = Annotated[_Lists, AfterValidator(_alike)]
"""What `Statistics.to_json` returns, as it is read from disk."""


def complete(lists: _Lists) -> _Lists:
    """Refuse statistics of nothing, by which no field can be standardised."""
    if min(lists["count"], default=0) < 1:
        raise ValueError("a variable has no values")
    return lists


_NAMES = tuple(field.name for field in fields(Statistics))
