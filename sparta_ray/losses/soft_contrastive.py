"""Soft contrastive: a row recognises its partner, and other rows the more the nearer in time.

Legend: N rows, P projection, M = 2N projections of two views.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from sparta_ray.base.config import STRICT
from sparta_ray.losses.nt_xent import pool_similarity
from sparta_ray.losses.projected_rows import ProjectedRows


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SoftContrastive:
    """Every row is a positive of every other, more so the nearer in time (Eq. 2.4 to 2.6).

    Attributes:
        temperature: τ.
        sharpness: τ_T, how fast the weight falls with the distance in time steps: 0.1 gives 0.76
            at 5 days, 0.5 at 11 and 0.04 at 40.
    """

    kind: Literal["soft"] = "soft"
    needs_labels: ClassVar[bool] = True
    temperature: float = Field(default=0.3, gt=0)
    sharpness: float = Field(default=0.1, gt=0)

    def __call__(self, rows: ProjectedRows) -> Tensor:
        """Return the sum over both neighbours."""
        step, tau, sharpness = rows.step, self.temperature, self.sharpness
        assert step is not None
        return rows.over_neighbours(lambda a, b: soft_contrastive(a, b, step, tau, sharpness))


def soft_contrastive(
    z_a_NP: Tensor, z_b_NP: Tensor, step_N: Tensor, temperature: float, sharpness: float
) -> Tensor:
    """Return the mean over 2N projections of -Σ w log shares of all others (Lee et al. 2024).

    The weight falls with the distance in time as w = 2 sigmoid(-sharpness |t - t'|): 1 for the
    partner, whose row is the same, and for any row of the same time. Similarity is the cosine over
    τ, as in NT-Xent, which is the limit of a large sharpness.

    Args:
        z_a_NP: Projections of one view.
        z_b_NP: Projections of the other; row n is row n's partner.
        step_N: Time step of each row, of both its views.
        temperature: τ, above 0.
        sharpness: τ_T, per time step; at distance ln(3) / τ_T the weight is a half.
    """
    share_MM = pool_similarity(z_a_NP, z_b_NP, temperature).log_softmax(dim=1)
    step_M = step_N.repeat(2)
    distance_MM = (step_M[:, None] - step_M).abs().to(share_MM.dtype)
    weight_MM = 2 * torch.sigmoid(-sharpness * distance_MM)
    itself_MM = torch.eye(len(step_M), dtype=torch.bool, device=step_M.device)
    return -(weight_MM * share_MM.masked_fill(itself_MM, 0.0)).sum(dim=1).mean()
