"""Fusion: where a model's variables meet, before its encoder or after one encoder for each.

Legend: B rows, V variables, I × J view, D embedding.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Discriminator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sparta_ray.config import STRICT
from sparta_ray.models.attention_fusion import AttentionFusionConfig
from sparta_ray.models.graph_fusion import GraphFusionConfig
from sparta_ray.models.resnet import ResNetEncoder


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EarlyFusionConfig:
    """One encoder; all variables enter as its channels."""

    kind: Literal["early"] = "early"


FusionConfig = Annotated[
    EarlyFusionConfig | AttentionFusionConfig | GraphFusionConfig, Discriminator("kind")
]


class LateFusionEncoder(nn.Module):
    """One encoder for each variable, and a layer that joins their embeddings."""

    def __init__(self, variables: int, fusion: nn.Module, embedding: int, width: float):
        """Size the encoders; `fusion` takes their embeddings (B, V, D) and returns h (B, D)."""
        super().__init__()
        self.encoders = nn.ModuleList(ResNetEncoder(1, embedding, width) for _ in range(variables))
        self.fusion = fusion

    def forward(self, x_BVIJ: Tensor) -> Tensor:
        """Return the embedding h, shape (B, D)."""
        fields = x_BVIJ.unsqueeze(2).unbind(1)
        # One network of grouped convolutions computes the same in 1.2 to 1.4 times the time.
        encoded = [encode(x) for encode, x in zip(self.encoders, fields, strict=True)]
        h_BD: Tensor = self.fusion(torch.stack(encoded, dim=1))
        return h_BD


def build_encoder(
    fusion: FusionConfig, variables: Sequence[str], embedding: int, width: float
) -> nn.Module:
    """Return an encoder from views (B, V, I, J) to embeddings h (B, D)."""
    if isinstance(fusion, EarlyFusionConfig):
        return ResNetEncoder(len(variables), embedding, width)
    layer = fusion.build(variables, embedding)
    return LateFusionEncoder(len(variables), layer, embedding, width)
