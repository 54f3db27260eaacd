"""Barlow Twins: two views agree in every component, and no two components are redundant.

Legend: N rows, P projection.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn import functional

from sparta_ray.base.config import STRICT
from sparta_ray.losses.precision import at_least_float32
from sparta_ray.losses.projected_rows import ProjectedRows


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BarlowTwins:
    """No negatives: the components of the projection are decorrelated instead (Eq. 2.3).

    Attributes:
        redundancy_weight: λ of the components' correlations with each other.
    """

    kind: Literal["barlow_twins"] = "barlow_twins"
    needs_labels: ClassVar[bool] = False
    redundancy_weight: float = Field(default=0.01, ge=0)

    def __call__(self, rows: ProjectedRows) -> Tensor:
        """Return the sum over both neighbours."""
        return rows.over_neighbours(lambda a, b: barlow_twins(a, b, self.redundancy_weight))


def barlow_twins(z_a_NP: Tensor, z_b_NP: Tensor, redundancy_weight: float) -> Tensor:
    """Return Σᵢ (1 - cᵢᵢ)² + λ Σᵢ≠ⱼ cᵢⱼ² (Zbontar et al. 2021).

    cᵢⱼ is the correlation over rows of component i of one view with component j of the other. Two
    equal views of uncorrelated components score 0; views that have nothing in common score P.

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
