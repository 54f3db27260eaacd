"""The compact noise predictor: a linear U-Net on the embedding vector.

Shape legend: B batch row, D embedding, W block width, K condition token, C token width,
F time feature.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

SLOWEST = 10_000.0
"""Longest period of the time features, in steps over 2π."""


class LinearUNet(nn.Module):
    """Predicts the noise in a noisy embedding, given the step and a condition embedding.

    With widths 1024, 512, 256: blocks at 1024, 512 and 256 going down, a bottleneck at 256, blocks
    at 256, 512 and 1024 going up that also see the block going down of their width, by
    concatenation. Each block adds the time features and attends to the condition.

    With one condition token, as in the published network, softmax over a single key is 1 whatever
    the query. The attention then adds the same vector to every input, a linear map of the
    condition, and its query and key projections get no gradient. With more tokens the attention
    is real.

    Args:
        embedding: Components D of an embedding.
        widths: Block widths going down.
        heads: Attention heads; divides every width.
        time_features: Size of the sinusoidal time embedding; even.
        condition_tokens: Tokens the condition is projected to.
    """

    def __init__(
        self,
        embedding: int,
        widths: Sequence[int],
        heads: int,
        time_features: int,
        condition_tokens: int,
    ) -> None:
        super().__init__()
        token = widths[-1]

        def block(inputs: int, width: int) -> _Block:
            return _Block(inputs, width, token, time_features, heads)

        self.time_features = time_features
        self.time = nn.Sequential(
            nn.Linear(time_features, time_features),
            nn.SiLU(),
            nn.Linear(time_features, time_features),
        )
        self.condition = nn.Linear(embedding, condition_tokens * token)
        self.tokens_KC = nn.Unflatten(1, (condition_tokens, token))
        self.inlet = nn.Linear(embedding, widths[0])
        self.down = nn.ModuleList(map(block, [widths[0], *widths[:-1]], widths))
        self.bottleneck = block(token, token)
        above = [*widths[1:], token]
        rising = reversed([(low + skip, skip) for low, skip in zip(above, widths, strict=True)])
        self.up = nn.ModuleList([block(inputs, width) for inputs, width in rising])
        self.outlet = nn.Linear(widths[0], embedding)

    def forward(self, h_BD: Tensor, step_B: Tensor, condition_BD: Tensor) -> Tensor:
        """Return the predicted noise (B, D).

        Args:
            h_BD: Noisy embeddings.
            step_B: Diffusion step of each row, counted from 0.
            condition_BD: Embeddings to condition on.
        """
        time_BF = self.time(time_embedding(step_B, self.time_features).to(h_BD.dtype))
        tokens_BKC = self.tokens_KC(self.condition(condition_BD))
        h_BW = self.inlet(h_BD)
        skips = []
        for block in self.down:
            h_BW = block(h_BW, time_BF, tokens_BKC)
            skips.append(h_BW)
        h_BW = self.bottleneck(h_BW, time_BF, tokens_BKC)
        for block in self.up:
            h_BW = block(torch.cat([h_BW, skips.pop()], dim=1), time_BF, tokens_BKC)
        noise_BD: Tensor = self.outlet(h_BW)
        return noise_BD


def time_embedding(step_B: Tensor, features: int) -> Tensor:
    """Return sin and cos of the step at `features` / 2 frequencies, (B, features).

    Frequencies fall geometrically from 1 towards 1 / 10,000; step 0 gives zeros, then ones.
    """
    half = features // 2
    exponent = torch.arange(half, dtype=torch.float32, device=step_B.device) / half
    angle = step_B[:, None] * torch.exp(-math.log(SLOWEST) * exponent)
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class _Block(nn.Module):
    """A residual pair of linear layers with time added between, then attention to the condition."""

    def __init__(self, inputs: int, width: int, token: int, time: int, heads: int) -> None:
        super().__init__()
        self.norm_in = nn.LayerNorm(inputs)
        self.first = nn.Linear(inputs, width)
        self.time = nn.Linear(time, width)
        self.norm = nn.LayerNorm(width)
        self.second = nn.Linear(width, width)
        self.shortcut = nn.Identity() if inputs == width else nn.Linear(inputs, width)
        self.norm_query = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(
            width, heads, kdim=token, vdim=token, batch_first=True
        )

    def forward(self, h_BW: Tensor, time_BF: Tensor, tokens_BKC: Tensor) -> Tensor:
        inner_BW = self.first(silu(self.norm_in(h_BW))) + self.time(silu(time_BF))
        inner_BW = self.second(silu(self.norm(inner_BW)))
        h_BW = self.shortcut(h_BW) + inner_BW
        query_B1W = self.norm_query(h_BW)[:, None]
        attended_B1W, _ = self.attention(query_B1W, tokens_BKC, tokens_BKC, need_weights=False)
        out_BW: Tensor = h_BW + attended_B1W[:, 0]
        return out_BW
