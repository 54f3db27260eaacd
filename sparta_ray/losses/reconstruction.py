"""Reconstruction: squared error of decoded fields, summed over variables; V variables."""

import torch
from torch import Tensor

from sparta_ray.losses.precision import at_least_float32
from sparta_ray.ranks import sum_over_ranks


def reconstruction(
    decoded_BVXY: Tensor, truth_BVXY: Tensor, gaps: bool = False, count_V: Tensor | None = None
) -> Tensor:
    """Return the sum over variables of the mean squared error (Eq. 17).

    The mean is over present values of all ranks; a variable without any adds nothing. Errors of 1
    and 3 beside a missing value make 5.

    Args:
        decoded_BVXY: Decoded standardised fields.
        truth_BVXY: The unmasked, unaugmented fields of the same days.
        gaps: Whether the truth may hold NaN, which is a missing value.
        count_V: Present values of a whole batch of which these rows are a part; None if they are
            all of it. The losses of all parts add up to the batch's.
    """
    sum_V, own_V = sum_over_ranks(torch.stack(squared_error(decoded_BVXY, truth_BVXY, gaps)))
    loss: Tensor = (sum_V / (own_V if count_V is None else count_V).clamp(min=1)).sum()
    return loss


def present_values(truth_BVXY: Tensor, gaps: bool) -> Tensor:
    """Return how many values of each variable are present on all ranks, shape (V,)."""
    present = ~truth_BVXY.isnan() if gaps else torch.ones_like(truth_BVXY, dtype=torch.bool)
    return sum_over_ranks(present.sum(dim=(0, 2, 3)).to(at_least_float32(truth_BVXY).dtype))


def squared_error(
    decoded_BVXY: Tensor, truth_BVXY: Tensor, gaps: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the sum of squared errors of each variable and the number of values in it.

    Several ranks add up both before they divide, and so get the loss of their rows together.
    Arguments as for `reconstruction`.

    Returns:
        Sums with gradients and counts without, both of shape (V,) and at least float32.
    """
    error = at_least_float32(decoded_BVXY) - truth_BVXY
    over = (0, 2, 3)
    if gaps:
        present = ~truth_BVXY.isnan()
        error = torch.where(present, error, 0.0)
        count_V = present.sum(dim=over).to(error.dtype)
    else:
        count_V = error.new_full((error.shape[1],), error[:, 0].numel())
    return error.square().sum(dim=over), count_V
