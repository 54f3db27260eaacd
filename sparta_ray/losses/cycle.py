"""Cycle consistency: a day's embedding lies half-way between those of its neighbours.

Legend: B rows, D embedding.
"""

from torch import Tensor
from torch.nn import functional

from sparta_ray.base.distributed import mean_over_ranks
from sparta_ray.losses.precision import at_least_float32


def cycle_consistency(h_before_BD: Tensor, h_BD: Tensor, h_after_BD: Tensor) -> Tensor:
    """Return the mean of (h_after - 2 h + h_before)² over rows and components (Eq. 8).

    Three equally spaced points on a line score 0; h = 0 between neighbours at 1 scores 4. The mean
    is over the rows of all ranks.
    """
    before_BD, middle_BD, after_BD = map(at_least_float32, (h_before_BD, h_BD, h_after_BD))
    return mean_over_ranks((after_BD - 2 * middle_BD + before_BD).square())


def cycle_consistency_of_directions(
    h_before_BD: Tensor, h_BD: Tensor, h_after_BD: Tensor
) -> Tensor:
    """Return the mean over rows of ‖u_after - 2 u + u_before‖², with u = h / ‖h‖.

    Eq. 8 falls when h shrinks; this does not depend on the length of any embedding. Three equal
    directions score 0, three at right angles 6, and a day opposite to both its neighbours 16.
    """
    parts = (h_before_BD, h_BD, h_after_BD)
    directions = (functional.normalize(at_least_float32(h), dim=1) for h in parts)
    return h_BD.shape[1] * cycle_consistency(*directions)
