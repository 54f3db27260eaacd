"""Masks: which values of a view or of its grid are hidden, drawn from a seed, carried as bits."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT
from sparta_ray.base.errors import ConfigError
from sparta_ray.data.plan.mask_shapes import MapSize, MaskShape, Points, Variables

MaskPlace = Literal["view", "grid"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaskConfig:
    """How much is hidden, where and in what shape.

    Attributes:
        ratio: Range from which the hidden share of values is drawn, upper end excluded; equal ends
            fix it.
        on: ``view`` hides points of the view, after the field was interpolated to it; so many
            points remain that the field can nearly be solved for. ``grid`` hides the data's own
            cells before interpolation, as missing observations do.
        shape: Shape of the hidden regions.
    """

    ratio: tuple[float, float] = (0.5, 0.9)
    on: MaskPlace = "view"
    shape: MaskShape = Field(default_factory=Points)

    @model_validator(mode="after")
    def _check_ratio(self) -> "MaskConfig":
        low, high = self.ratio
        if not 0 <= low <= high < 1:
            raise ValueError(f"mask ratio {self.ratio} must lie in [0, 1), ascending")
        return self

    def size(self, variables: int, grid: tuple[int, int], view: tuple[int, int]) -> MapSize:
        """Return the shape of what is masked."""
        return (variables, *(grid if self.on == "grid" else view))


def check_mask(mask: MaskConfig, path: str, variables: int) -> None:
    """Refuse a mask that can hide nothing.

    Raises:
        ConfigError: Names the setting.
    """
    if isinstance(mask.shape, Variables) and variables == 1 and mask.ratio[1] > 0:
        raise ConfigError(
            f"{path}.shape: kind `variables` hides some variables but never all, so it can hide "
            "nothing of data.variables, which has one; choose another shape or add variables"
        )


def packed_size(values: int) -> int:
    """Return the bytes that hold one bit for each of `values`."""
    return -(-values // 8)


def draw_mask(shape: MaskShape, seed: int, ratio: float, size: MapSize) -> NDArray[np.uint8]:
    """Draw which values are kept.

    A mask depends on its arguments alone, so any worker can draw it.

    Args:
        shape: Where hidden values lie.
        seed: Of this mask.
        ratio: Share to hide, in [0, 1).
        size: Variables, longitudes and latitudes.

    Returns:
        Bits, most significant first, 1 = kept; shape (packed_size(product of size),).
    """
    return np.packbits(shape.draw(np.random.Philox(key=seed), ratio, size))
