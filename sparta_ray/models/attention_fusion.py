"""Late fusion by self-attention: a learned token attends to the embeddings of all variables.

Legend: B rows, V variables, T = V + 1 tokens, D embedding.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sparta_ray.base.config import STRICT
from sparta_ray.base.errors import ConfigError


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AttentionFusionConfig:
    """Every variable has its own encoder; self-attention joins their embeddings.

    Attributes:
        heads: Number of attention heads; it must divide the size of the embedding.
    """

    kind: Literal["attention"] = "attention"
    heads: int = Field(default=8, ge=1)

    def build(self, variables: Sequence[str], embedding: int) -> nn.Module:
        """Return the layer that joins the variables' embeddings, (B, V, D) to (B, D)."""
        return AttentionFusion(len(variables), embedding, self.heads)


class AttentionFusion(nn.Module):
    """One layer of self-attention over a learned token and the variables' embeddings.

    Attributes:
        summary: The learned token, placed first; the layer's output for it is h.
        modality: Learned offsets, added to the tokens so that the layer can tell them apart.
    """

    def __init__(self, variables: int, embedding: int, heads: int = 8):
        """Size the layer.

        Raises:
            ConfigError: The heads do not divide the embedding.
        """
        super().__init__()
        if embedding % heads:
            raise ConfigError(
                f"model.fusion.heads {heads} does not divide model.embedding {embedding}; choose "
                "heads that do"
            )
        self.summary = nn.Parameter(torch.randn(1, embedding))
        self.modality = nn.Parameter(torch.randn(variables + 1, embedding))
        self.attention = nn.MultiheadAttention(embedding, heads, batch_first=True)

    def forward(self, h_BVD: Tensor) -> Tensor:
        """Return the fused embedding h, shape (B, D)."""
        summary_B1D = self.summary.expand(len(h_BVD), -1, -1)
        x_BTD = torch.cat([summary_B1D, h_BVD], dim=1) + self.modality
        # Only the first token's output is used, so only its query is computed.
        h_B1D, _ = self.attention(x_BTD[:, :1], x_BTD, x_BTD, need_weights=False)
        h_BD: Tensor = h_B1D[:, 0]
        return h_BD
