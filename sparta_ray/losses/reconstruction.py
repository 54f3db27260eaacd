"""Reconstruction: squared error of decoded fields, summed over variables."""

from torch import Tensor

from sparta_ray.losses.precision import at_least_float32


def reconstruction(decoded_BVXY: Tensor, truth_BVXY: Tensor) -> Tensor:
    """Return the sum over variables of the mean squared error (Eq. 17).

    Args:
        decoded_BVXY: Decoded standardised fields.
        truth_BVXY: The unmasked, unaugmented fields of the same days.
    """
    error = (at_least_float32(decoded_BVXY) - truth_BVXY).square()
    return error.mean(dim=(0, 2, 3)).sum()
