"""The projections of a batch, as every contrastive loss receives them.

Legend: N rows, P projection.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ProjectedRows:
    """What a contrastive loss may look at, of all rows of a batch.

    Attributes:
        before: Projections of the earlier neighbours, (N, P).
        day: Projections of the days, (N, P).
        after: Projections of the later neighbours, (N, P).
        step: Time step of each day, (N,); None for a loss that needs no labels.
        season: Season of each day, (N,); None for a loss that needs no labels.
    """

    before: Tensor
    day: Tensor
    after: Tensor
    step: Tensor | None = None
    season: Tensor | None = None

    def over_neighbours(self, loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Return the sum of a loss of the days with each of their neighbours."""
        return loss(self.day, self.after) + loss(self.day, self.before)
