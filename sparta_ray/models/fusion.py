"""Fusion: where a model's variables meet, before its encoder or after one encoder for each.

Legend: B rows, V variables, C = V channels, or 2 V where masks are channels too, I × J view,
D embedding.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Discriminator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sparta_ray.base.config import STRICT
from sparta_ray.models.attention_fusion import AttentionFusionConfig
from sparta_ray.models.graph_fusion import GraphFusionConfig


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EarlyFusionConfig:
    """One encoder; all variables enter as its channels."""

    kind: Literal["early"] = "early"


FusionConfig = Annotated[
    EarlyFusionConfig | AttentionFusionConfig | GraphFusionConfig, Discriminator("kind")
]


class LateFusionEncoder(nn.Module):
    """One encoder for each variable, and a layer that joins their embeddings."""

    def __init__(self, encoders: Sequence[nn.Module], fusion: nn.Module):
        """Take the encoders; `fusion` takes their embeddings (B, V, D) and returns h (B, D)."""
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.fusion = fusion

    def forward(self, x_BCIJ: Tensor) -> Tensor:
        """Return the embedding h, shape (B, D); each encoder sees only its own variable."""
        rows, _, *view = x_BCIJ.shape
        fields = x_BCIJ.view(rows, -1, len(self.encoders), *view).unbind(2)
        # One network of grouped convolutions computes the same in 1.2 to 1.4 times the time.
        encoded = [encode(x) for encode, x in zip(self.encoders, fields, strict=True)]
        h_BD: Tensor = self.fusion(torch.stack(encoded, dim=1))
        return h_BD


def build_encoder(
    fusion: FusionConfig,
    variables: Sequence[str],
    embedding: int,
    encoder_of: Callable[[int], nn.Module],
) -> nn.Module:
    """Return an encoder from views (B, C, I, J) to embeddings h (B, D).

    Args:
        fusion: Where the variables meet.
        variables: Their labels.
        embedding: D.
        encoder_of: Returns a fresh encoder, given the number of variables that it sees.
    """
    if isinstance(fusion, EarlyFusionConfig):
        return encoder_of(len(variables))
    layer = fusion.build(variables, embedding)
    return LateFusionEncoder([encoder_of(1) for _ in variables], layer)
