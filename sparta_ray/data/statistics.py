"""Statistics of each variable over days and grid points, merged exactly from parts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Statistics:
    """A mergeable accumulator per variable; V variables.

    Attributes:
        count: Values seen of each variable.
        mean: Mean, in the variable's units, shape (V,).
        squares: Sum of squared deviations from the mean, shape (V,).
        minimum: Least value, shape (V,).
        maximum: Greatest value, shape (V,).
    """

    count: int
    mean: Vector
    squares: Vector
    minimum: Vector
    maximum: Vector

    @classmethod
    def zero(cls, variables: int) -> "Statistics":
        """Return the accumulator that has seen nothing."""
        none = np.zeros(variables)
        return cls(0, none, none, none + np.inf, none - np.inf)

    @classmethod
    def of(cls, x_TVXY: NDArray[np.float32]) -> "Statistics":
        """Return the statistics of some days, accumulated in float64."""
        variables = x_TVXY.shape[1]
        if len(x_TVXY) == 0:
            return cls.zero(variables)
        x_VN = np.moveaxis(x_TVXY, 1, 0).reshape(variables, -1).astype(np.float64)
        mean = x_VN.mean(axis=1)
        squares = ((x_VN - mean[:, None]) ** 2).sum(axis=1)
        return cls(x_VN.shape[1], mean, squares, x_VN.min(axis=1), x_VN.max(axis=1))

    def merge(self, other: "Statistics") -> "Statistics":
        """Return the statistics of both parts together (Chan, Golub and LeVeque 1983)."""
        count = self.count + other.count
        if count == 0:
            return self
        shift = other.mean - self.mean
        return Statistics(
            count,
            self.mean + shift * (other.count / count),
            self.squares + other.squares + shift**2 * (self.count * other.count / count),
            np.minimum(self.minimum, other.minimum),
            np.maximum(self.maximum, other.maximum),
        )

    @property
    def std(self) -> Vector:
        """Unbiased standard deviation, shape (V,)."""
        return np.sqrt(self.squares / max(self.count - 1, 1))

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers; `from_json` restores them exactly."""
        return {
            "count": self.count,
            **{
                name: getattr(self, name).tolist()
                for name in ("mean", "squares", "minimum", "maximum")
            },
        }

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> "Statistics":
        """Restore what `to_json` returned."""
        return cls(
            int(state["count"]),
            *(np.array(state[name]) for name in ("mean", "squares", "minimum", "maximum")),
        )
