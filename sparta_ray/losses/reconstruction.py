"""Reconstruction: squared error of decoded fields, summed over variables.

Legend: B rows, V variables, X × Y the data's longitude × latitude.
"""

import torch
from torch import Tensor

from sparta_ray.base.distributed import sum_over_ranks
from sparta_ray.losses.precision import at_least_float32


def reconstruction(
    decoded_BVXY: Tensor,
    truth_BVXY: Tensor,
    gaps: bool = False,
    area_Y: Tensor | None = None,
    weight_V: Tensor | None = None,
) -> Tensor:
    """Return the sum over variables of the mean squared error (Eq. 17).

    The mean is over the present values of all ranks; a variable without any adds nothing. Errors of
    1 and 3 beside a missing value give 5, or 3 if the first one's cell weighs three times as much.

    Args:
        decoded_BVXY: Decoded standardised fields.
        truth_BVXY: The unmasked, unaugmented fields of the same days.
        gaps: Whether the truth may hold NaN, which is a missing value.
        area_Y: Weight of each latitude's cells in the mean; None for equal weights, as published.
        weight_V: Weights of the whole batch of which these rows are a part, as of `total_weight`;
            None if they are all of it. The losses of all parts add up to the batch's.
    """
    parts = squared_error(decoded_BVXY, truth_BVXY, gaps, area_Y)
    sum_V, own_V = sum_over_ranks(torch.stack(parts))
    divisor_V = own_V if weight_V is None else weight_V
    loss: Tensor = (sum_V / divisor_V.masked_fill(divisor_V == 0, 1)).sum()
    return loss


def total_weight(truth_BVXY: Tensor, gaps: bool, area_Y: Tensor | None = None) -> Tensor:
    """Return the weights of each variable's present values on all ranks, added up, shape (V,)."""
    return sum_over_ranks(squared_error(truth_BVXY, truth_BVXY, gaps, area_Y)[1])


def squared_error(
    decoded_BVXY: Tensor, truth_BVXY: Tensor, gaps: bool = False, area_Y: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the weighted sum of squared errors of each variable and the sum of their weights.

    Several ranks add up both before they divide, and so obtain the loss of all their rows. The
    arguments are those of `reconstruction`; without `area_Y` every present value weighs 1.

    Returns:
        Sums with gradients and weights without, both of shape (V,) and at least float32.
    """
    error_BVXY = at_least_float32(decoded_BVXY) - truth_BVXY
    rows, variables, longitudes, latitudes = error_BVXY.shape
    if gaps:
        present = ~truth_BVXY.isnan()
        error_BVXY = torch.where(present, error_BVXY, 0.0)
        count_VY = present.sum(dim=(0, 2))
    else:
        count_VY = torch.full((variables, latitudes), rows * longitudes, device=error_BVXY.device)
    squared_BVXY = error_BVXY.square()
    if area_Y is not None:
        squared_BVXY, count_VY = squared_BVXY * area_Y, count_VY * area_Y
    return squared_BVXY.sum(dim=(0, 2, 3)), count_VY.sum(dim=1).to(error_BVXY.dtype)
