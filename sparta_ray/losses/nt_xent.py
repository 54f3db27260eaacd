"""NT-Xent: each row must recognise its partner among all rows of two views.

Legend: N rows, P projection, M = 2N projections of two views.
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
class NtXent:
    """SimCLR's loss of the day with each of its neighbours (Eq. 2.1).

    Attributes:
        temperature: τ.
    """

    kind: Literal["nt_xent"] = "nt_xent"
    needs_labels: ClassVar[bool] = False
    temperature: float = Field(default=0.3, gt=0)

    def __call__(self, rows: ProjectedRows) -> Tensor:
        """Return ℓ_c, the sum over both neighbours."""
        return rows.over_neighbours(lambda a, b: nt_xent(a, b, self.temperature))


def nt_xent(z_a_NP: Tensor, z_b_NP: Tensor, temperature: float) -> Tensor:
    """Return the normalised temperature-scaled cross-entropy of N pairs (Eq. 4 and 5).

    Each of the 2N projections is compared by cosine similarity with the other 2N - 1; its partner
    is the right answer. Written as one cross-entropy over a 2N x 2N matrix. An uninformed model
    scores log(2N - 1).

    Args:
        z_a_NP: Projections of one view.
        z_b_NP: Projections of the other; row n is row n's partner.
        temperature: τ, above 0.

    Returns:
        Mean over the 2N rows, a scalar in at least float32.
    """
    similarity_MM = pool_similarity(z_a_NP, z_b_NP, temperature)
    partner_M = torch.arange(len(similarity_MM), device=z_a_NP.device).roll(len(z_a_NP))
    return functional.cross_entropy(similarity_MM, partner_M)


def pool_similarity(z_a_NP: Tensor, z_b_NP: Tensor, temperature: float) -> Tensor:
    """Return the cosine similarity over τ of 2N projections, (M, M); -∞ of each with itself."""
    z_MP = functional.normalize(at_least_float32(torch.cat([z_a_NP, z_b_NP])), dim=1)
    with torch.autocast(z_MP.device.type, enabled=False):
        similarity_MM = z_MP @ z_MP.T / temperature
    itself_MM = torch.eye(len(z_MP), dtype=torch.bool, device=z_MP.device)
    return similarity_MM.masked_fill(itself_MM, -torch.inf)
