"""The contrastive losses to choose from, as configuration; each takes the same projected rows.

Equations 2.x are those of the authors' background report, in which they compared methods.

Legend: N rows, P projection.
"""

from collections.abc import Callable
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Literal

from pydantic import Discriminator, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from sparta_ray.base.config import STRICT
from sparta_ray.losses.adjacent_positives import adjacent_positives
from sparta_ray.losses.barlow_twins import barlow_twins
from sparta_ray.losses.contrastive import nt_xent
from sparta_ray.losses.soft_contrastive import soft_contrastive
from sparta_ray.losses.supervised_contrastive import supervised_contrastive


@plain_dataclass(frozen=True)
class ProjectedRows:
    """What a contrastive loss may look at, of all rows of a batch.

    Attributes:
        before: Projections of the earlier neighbours, (N, P).
        day: Projections of the days, (N, P).
        after: Projections of the later neighbours, (N, P).
        step: Time step of each day, (N,); None where the loss does not look.
        season: Season of each day, (N,); None likewise.
    """

    before: Tensor
    day: Tensor
    after: Tensor
    step: Tensor | None = None
    season: Tensor | None = None

    def over_neighbours(self, loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Return the sum of a loss of the days with each of their neighbours."""
        return loss(self.day, self.after) + loss(self.day, self.before)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NtXent:
    """SimCLR's loss of the day with each of its neighbours (Eq. 2.1).

    Attributes:
        temperature: Temperature τ.
    """

    kind: Literal["nt_xent"] = "nt_xent"
    temperature: float = Field(default=0.3, gt=0)

    def __call__(self, rows: ProjectedRows) -> Tensor:
        """Return ℓ_c, the sum over both neighbours."""
        return rows.over_neighbours(lambda a, b: nt_xent(a, b, self.temperature))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SupervisedContrastive:
    """Days of one season are positives of each other (Eq. 2.2).

    Attributes:
        temperature: Temperature τ.
    """

    kind: Literal["supervised"] = "supervised"
    temperature: float = Field(default=0.1, gt=0)

    def __call__(self, rows: ProjectedRows) -> Tensor:
        """Return the sum over both neighbours."""
        season, tau = rows.season, self.temperature
        assert season is not None
        return rows.over_neighbours(lambda a, b: supervised_contrastive(a, b, season, tau))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BarlowTwins:
    """No negatives: the components of the projection are decorrelated instead (Eq. 2.3).

    Attributes:
        redundancy_weight: Weight λ of the correlations between different components.
    """

    kind: Literal["barlow_twins"] = "barlow_twins"
    redundancy_weight: float = Field(default=0.01, ge=0)

    def __call__(self, rows: ProjectedRows) -> Tensor:
        """Return the sum over both neighbours."""
        return rows.over_neighbours(lambda a, b: barlow_twins(a, b, self.redundancy_weight))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SoftContrastive:
    """Every row is a positive of every other, the more the nearer in time (Eq. 2.4 to 2.6).

    Attributes:
        temperature: Temperature τ.
        sharpness: τ_T, how fast the weight falls with distance in time: 0.1 gives 0.76 at 5 days,
            0.5 at 11 and 0.04 at 40 [1/step].
    """

    kind: Literal["soft"] = "soft"
    temperature: float = Field(default=0.3, gt=0)
    sharpness: float = Field(default=0.1, gt=0)

    def __call__(self, rows: ProjectedRows) -> Tensor:
        """Return the sum over both neighbours."""
        step, tau, sharpness = rows.step, self.temperature, self.sharpness
        assert step is not None
        return rows.over_neighbours(lambda a, b: soft_contrastive(a, b, step, tau, sharpness))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AdjacentPositives:
    """Both neighbours are positives in one term, and left out of the negatives (Eq. 2.7).

    Attributes:
        temperature: Temperature τ.
    """

    kind: Literal["adjacent"] = "adjacent"
    temperature: float = Field(default=0.3, gt=0)

    def __call__(self, rows: ProjectedRows) -> Tensor:
        """Return the one term."""
        return adjacent_positives(rows.before, rows.day, rows.after, self.temperature)


ContrastiveLoss = Annotated[
    NtXent | SupervisedContrastive | BarlowTwins | SoftContrastive | AdjacentPositives,
    Discriminator("kind"),
]
