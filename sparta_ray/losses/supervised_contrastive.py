"""Supervised contrastive: a row must recognise all rows with its label (Khosla et al. 2020).

Legend: N rows, P projection, M = 2N projections of two views.
"""

from typing import ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from sparta_ray.base.config import STRICT
from sparta_ray.losses.nt_xent import pool_similarity
from sparta_ray.losses.projected_rows import ProjectedRows


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SupervisedContrastive:
    """Days of one season are positives of each other (Eq. 2.2).

    Attributes:
        temperature: τ.
    """

    kind: Literal["supervised"] = "supervised"
    needs_labels: ClassVar[bool] = True
    temperature: float = Field(default=0.1, gt=0)

    def __call__(self, rows: ProjectedRows) -> Tensor:
        """Return the sum over both neighbours."""
        season, tau = rows.season, self.temperature
        assert season is not None
        return rows.over_neighbours(lambda a, b: supervised_contrastive(a, b, season, tau))


def supervised_contrastive(
    z_a_NP: Tensor, z_b_NP: Tensor, label_N: Tensor, temperature: float
) -> Tensor:
    """Return the mean over 2N projections of -1/|P| Σ log shares of their positives P.

    A row's positives are its partner and all rows with the same label; shares are among all other
    2N - 1 projections. If all labels differ, this is NT-Xent.

    Args:
        z_a_NP: Projections of one view.
        z_b_NP: Projections of the other; row n is row n's partner.
        label_N: Class of each row, of both its views.
        temperature: τ, above 0.
    """
    share_MM = pool_similarity(z_a_NP, z_b_NP, temperature).log_softmax(dim=1)
    label_M = label_N.repeat(2)
    positive_MM = (label_M[:, None] == label_M).fill_diagonal_(False)
    total_M = share_MM.masked_fill(~positive_MM, 0.0).sum(dim=1)
    return -(total_M / positive_MM.sum(dim=1)).mean()
