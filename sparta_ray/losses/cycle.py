"""Cycle consistency: the embedding of a day lies half-way between those of its neighbours."""

from torch import Tensor

from sparta_ray.losses.precision import at_least_float32
from sparta_ray.ranks import mean_over_ranks


def cycle_consistency(h_before_BD: Tensor, h_BD: Tensor, h_after_BD: Tensor) -> Tensor:
    """Return the mean of (h_after - 2 h + h_before)² over rows and components (Eq. 8).

    Three equally spaced points on a line score 0; h = 0 between neighbours at 1 scores 4. The rows
    of all ranks count.
    """
    before_BD, middle_BD, after_BD = map(at_least_float32, (h_before_BD, h_BD, h_after_BD))
    return mean_over_ranks((after_BD - 2 * middle_BD + before_BD).square())
