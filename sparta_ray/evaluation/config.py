"""How much is evaluated."""

from pydantic import Field
from pydantic.dataclasses import dataclass

from sparta_ray.config import STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EvaluationConfig:
    """Sizes of the evaluation.

    Attributes:
        report_leads: Lead times in days shown in tables, beside the first and the last.
        smoothness_days: Consecutive test days whose embeddings are compared.
        diffusion_days: Most test days to draw samples for, evenly spread; None for all.
        density_sigma: σ of the latent density (Eq. 18).
        realism_neighbours: k of the realism score (Eq. 19).
        climatology_half_window: Days at which a neighbour's weight in a day of the year's
            climatology has fallen to 0; with 30, 29 days on either side enter.
    """

    report_leads: tuple[int, ...] = (1, 25, 50, 75, 100)
    smoothness_days: int = Field(default=256, ge=3)
    diffusion_days: int | None = Field(default=None, ge=1)
    density_sigma: float = Field(default=20.0, gt=0)
    realism_neighbours: int = Field(default=5, ge=1)
    climatology_half_window: int = Field(default=30, ge=1)

    def table_leads(self, last: int) -> set[int]:
        """Return the leads shown in tables of a forecast `last` days ahead."""
        return {lead for lead in self.report_leads if lead <= last} | {1, last}
