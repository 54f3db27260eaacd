"""Barlow Twins: two views agree in every component, and no component repeats another.

Legend: N rows, P projection.
"""

import torch
from torch import Tensor
from torch.nn import functional

from sparta_ray.losses.precision import at_least_float32


def barlow_twins(z_a_NP: Tensor, z_b_NP: Tensor, redundancy_weight: float) -> Tensor:
    """Return Σᵢ (1 - cᵢᵢ)² + λ Σᵢ≠ⱼ cᵢⱼ² (Zbontar et al. 2021).

    c is the correlation over rows of component i of one view with component j of the other. Two
    equal views of uncorrelated components score 0; views that have nothing in common, P.

    Args:
        z_a_NP: Projections of one view.
        z_b_NP: Projections of the other; row n is row n's partner.
        redundancy_weight: λ.
    """
    a_NP, b_NP = (
        functional.normalize(z - z.mean(dim=0), dim=0)
        for z in map(at_least_float32, (z_a_NP, z_b_NP))
    )
    with torch.autocast(a_NP.device.type, enabled=False):
        c_PP = a_NP.T @ b_NP
    same_PP = torch.eye(len(c_PP), dtype=torch.bool, device=c_PP.device)
    redundancy = c_PP.masked_fill(same_PP, 0.0).square().sum()
    return (1 - c_PP.diagonal()).square().sum() + redundancy_weight * redundancy
