"""Adjacent positives: a day and both its neighbours in one term (Bach et al.'s dynamic loss).

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
class AdjacentPositives:
    """Both neighbours are positives in one term, and are not among the negatives (Eq. 2.7).

    Attributes:
        temperature: τ.
    """

    kind: Literal["adjacent"] = "adjacent"
    needs_labels: ClassVar[bool] = False
    temperature: float = Field(default=0.3, gt=0)

    def __call__(self, rows: ProjectedRows) -> Tensor:
        """Return the one term."""
        return adjacent_positives(rows.before, rows.day, rows.after, self.temperature)


def adjacent_positives(
    z_before_NP: Tensor, z_NP: Tensor, z_after_NP: Tensor, temperature: float
) -> Tensor:
    """Return the mean over rows of -log(positives / negatives); similarity is the cosine over τ.

    A row's positives are the pairs of its day with each of its neighbours. Its negatives are the
    pairs of its day with the later neighbours of other rows, and of its earlier neighbour with the
    days of other rows: the denominators of two SimCLR losses without their positives. Rows that are
    all alike score log(N - 1); well-separated rows score below 0.

    Args:
        z_before_NP: Projections of the earlier neighbours.
        z_NP: Projections of the days.
        z_after_NP: Projections of the later neighbours.
        temperature: τ, above 0.
    """
    before, day, after = (
        functional.normalize(at_least_float32(z), dim=1) for z in (z_before_NP, z_NP, z_after_NP)
    )
    with torch.autocast(day.device.type, enabled=False):
        later_NN, earlier_NN = day @ after.T / temperature, before @ day.T / temperature
    positives = torch.stack([later_NN.diagonal(), earlier_NN.diagonal()], dim=1)
    own_NN = torch.eye(len(day), dtype=torch.bool, device=day.device)
    negatives = torch.cat(
        [similarity.masked_fill(own_NN, -torch.inf) for similarity in (later_NN, earlier_NN)], dim=1
    )
    return (negatives.logsumexp(dim=1) - positives.logsumexp(dim=1)).mean()
