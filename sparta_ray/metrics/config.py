"""How much is evaluated."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT

Ratio = Annotated[float, Field(ge=0, lt=1)]
Lead = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BootstrapConfig:
    """How intervals are drawn.

    Attributes:
        block_days: Length of a block, longer than the weather's memory; days, whatever
            ``data.step`` [days].
        draws: Number of resamples.
        level: Share of the resamples inside an interval.
        fewest_blocks: Smallest number of whole blocks for which an interval is given.
    """

    block_days: int = Field(default=30, ge=1)
    draws: int = Field(default=1000, ge=100)
    level: float = Field(default=0.95, gt=0, lt=1)
    fewest_blocks: int = Field(default=5, ge=2)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EvaluationConfig:
    """Sizes of the evaluation.

    Attributes:
        report_leads: Lead times shown in tables, beside the first and the last [steps of
            data.step].
        smoothness_days: Number of consecutive steps, the first of the data's test part, whose
            embeddings are compared [steps of data.step].
        diffusion_days: Largest number of test steps, evenly spread, to draw samples for; None for
            all [steps of data.step].
        density_sigma: Width σ of the latent density's kernel (Eq. 18).
        realism_neighbours: Number k of neighbours in the realism score (Eq. 19).
        climatology_half_window: Distance at which a neighbouring day's weight in the climatology of
            a day of the year falls to 0; with 30, 29 days on either side contribute. Steps below a
            day have a climatology for each time of day [days].
        robustness_days: Largest number of test steps, evenly spread, to mask for the robustness
            curves [steps of data.step].
        robustness_ratios: Mask ratios of the robustness curves; empty leaves the curves out.
        bootstrap: How confidence intervals are computed.
    """

    report_leads: tuple[Lead, ...] = Field(default=(1, 25, 50, 75, 100), min_length=1)
    smoothness_days: int = Field(default=256, ge=3)
    diffusion_days: int | None = Field(default=None, ge=1)
    density_sigma: float = Field(default=20.0, gt=0)
    realism_neighbours: int = Field(default=5, ge=1)
    climatology_half_window: int = Field(default=30, ge=1)
    robustness_days: int = Field(default=64, ge=2)
    robustness_ratios: tuple[Ratio, ...] = (
        0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99,
    )  # fmt: skip
    bootstrap: BootstrapConfig = Field(default_factory=BootstrapConfig)

    def table_leads(self, last: int) -> set[int]:
        """Return the leads shown in tables of a forecast `last` steps ahead."""
        return {lead for lead in self.report_leads if lead <= last} | {1, last}
