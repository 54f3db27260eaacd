"""Health of the embeddings: whether different days still get different ones.

Legend: B rows of the watched batch, D embedding, P projection.
"""

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn import functional

from sparta_ray.base.config import STRICT
from sparta_ray.base.distributed import gather_rows
from sparta_ray.data.batches.expand import Views
from sparta_ray.losses.precision import at_least_float32
from sparta_ray.models.sparta import Model, Sparta

Health = dict[str, float]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HealthConfig:
    """When the embeddings count as collapsed; a warning says so, training goes on.

    Attributes:
        min_effective_rank: Effective rank of the embeddings below which they vary in too few
            directions.
        min_relative_variance: Variance relative to the squared size below which embeddings hardly
            vary.
        max_negative_cosine: Mean cosine between projections of different days above which they
            point the same way.
    """

    min_effective_rank: float = Field(default=2.0, ge=1)
    min_relative_variance: float = Field(default=1e-6, ge=0)
    max_negative_cosine: float = Field(default=0.95, le=1)


@torch.no_grad()
def measure_health(model: Model, views: Views, rows: int) -> Health:
    """Measure a model, as it is in eval mode, on one batch of all ranks.

    Args:
        model: Left in eval mode.
        views: This rank's rows; without contrastive views, the embeddings alone are measured.
        rows: Rows on all ranks.
    """
    model.eval()
    view = views.input if views.anchor is None else views.anchor
    assert view is not None
    h_BD = model.encoder(view)
    h_all_BD = gather_rows(h_BD, rows)
    health = embedding_health(h_all_BD)
    if isinstance(model, Sparta) and views.after is not None:
        z_BP = gather_rows(model.projector(h_BD), rows)
        h_after_BD, z_after_BP = (gather_rows(x, rows) for x in model.project(views.after))
        health |= pair_health(h_all_BD, h_after_BD)
        health |= projection_health(z_BP, z_after_BP)
    return health


def embedding_health(h_BD: Tensor) -> Health:
    """Return the total variance, the same over the mean squared length, and the effective rank.

    The effective rank is exp of the entropy of the normalised singular values of the centred
    embeddings: 1 if all lie on one line, D if they spread equally in every direction; 0 if all are
    equal.
    """
    h = h_BD.double()
    centred = h - h.mean(0)
    variance = float(centred.square().sum(1).mean())
    length = float(h.square().sum(1).mean())
    share = torch.linalg.svdvals(centred)
    share = share / share.sum().clamp(min=torch.finfo(share.dtype).tiny)
    entropy = float(torch.special.entr(share).sum())
    return {
        "embedding_variance": variance,
        "embedding_relative_variance": variance / length if length else 0.0,
        "embedding_effective_rank": float(torch.tensor(entropy).exp()) if variance else 0.0,
    }


def pair_health(h_BD: Tensor, h_partner_BD: Tensor) -> Health:
    """Return the mean cosine of embeddings of partners, of different days, and the separation.

    The separation is the first less the second, and does not depend on the loss: by it the authors
    chose between hyper-parameters (background report, 3.3). Two days at right angles that equal
    their partners score 1, 0 and 1.
    """
    h, partner = (functional.normalize(at_least_float32(x), dim=1) for x in (h_BD, h_partner_BD))
    apart = ~torch.eye(len(h), dtype=torch.bool, device=h.device)
    positive, negative = float((h * partner).sum(1).mean()), float((h @ h.T)[apart].mean())
    return {
        "embedding_positive_cosine": positive,
        "embedding_negative_cosine": negative,
        "embedding_separation": positive - negative,
    }


def projection_health(z_BP: Tensor, z_partner_BP: Tensor) -> Health:
    """Return how near partners are and how evenly days spread (Wang and Isola 2020).

    Alignment is the mean squared distance of partners on the unit sphere, 0 at best. Uniformity is
    log of the mean over pairs of days of exp(-2 distance²): 0 if all are equal, below if they
    spread. Two opposite days that equal their partners score 0 and -8.
    """
    z, partner = (functional.normalize(at_least_float32(x), dim=1) for x in (z_BP, z_partner_BP))
    positive_B = (z * partner).sum(1)
    apart = ~torch.eye(len(z), dtype=torch.bool, device=z.device)
    negative = (z @ z.T)[apart]
    return {
        "alignment": float((z - partner).square().sum(1).mean()),
        "uniformity": float((4 * (negative - 1)).exp().mean().log()),
        "positive_cosine": float(positive_B.mean()),
        "negative_cosine": float(negative.mean()),
    }


def collapse(health: Health, config: HealthConfig) -> str | None:
    """Return in what way the embeddings have collapsed, or None if they have not."""
    limits = {
        "embedding_effective_rank": (config.min_effective_rank, "below"),
        "embedding_relative_variance": (config.min_relative_variance, "below"),
        "negative_cosine": (config.max_negative_cosine, "above"),
    }
    for name, (limit, side) in limits.items():
        value = health.get(name)
        if value is not None and (value < limit if side == "below" else value > limit):
            return f"{name.replace('_', ' ')} {value:.3g} is {side} {limit:g}"
    return None
