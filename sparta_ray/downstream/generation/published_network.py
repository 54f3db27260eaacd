"""The published noise predictor: a linear U-Net whose blocks attend to a map of the condition.

Shape legend: B batch row, D embedding, W block width, F time feature.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

HIGHEST_FREQUENCY = 1000.0
"""Highest frequency of the time features, in cycles over the whole diffusion; the lowest is 1."""


class PublishedNetwork(nn.Module):
    """Predicts the noise in a noisy embedding, as in the published runs.

    With widths 1024, 512, 256 and an embedding of 1000 it has 44,783,312 parameters: an inlet to
    1024, two blocks down to 256, a bottleneck, two blocks up, and an outlet that sees the last
    block beside the inlet. Each level has its own linear map of the condition, to which its block
    attends. That is one token, so attention weights are 1 whatever the query: the block adds a
    linear map of the condition, and query and key get no gradient.

    Args:
        embedding: Components D of an embedding.
        widths: Width of the inlet, and after each of the two blocks down; each half of the last.
        heads: Attention heads; divides every width.
        time_features: Size of the sinusoidal time embedding; even.
        steps: The time that is counted as 1.
    """

    def __init__(
        self, embedding: int, widths: Sequence[int], heads: int, time_features: int, steps: int
    ) -> None:
        super().__init__()
        wide, middle, narrow = widths

        def block(inputs: int, width: int) -> _Block:
            return _Block(inputs, width, time_features, heads)

        def condition(width: int) -> nn.Linear:
            return nn.Linear(embedding, width)

        self.steps, self.time_features = steps, time_features
        self.time = nn.Sequential(nn.Linear(time_features, time_features), nn.ReLU())
        self.time_in = nn.Linear(time_features, embedding)
        self.inlet = nn.Sequential(nn.Linear(embedding, wide), nn.BatchNorm1d(wide), nn.ReLU())
        self.down = nn.ModuleList([block(wide, middle), block(middle, narrow)])
        self.down_conditions = nn.ModuleList([condition(middle), condition(narrow)])
        self.bottleneck = block(narrow, narrow)
        self.bottleneck_condition = condition(narrow)
        self.up = nn.ModuleList([block(2 * narrow, middle), block(2 * middle, wide)])
        self.up_conditions = nn.ModuleList([condition(middle), condition(wide)])
        self.time_out = nn.Linear(time_features, 2 * wide)
        self.outlet = nn.Linear(2 * wide, embedding)

    def forward(self, h_BD: Tensor, step_B: Tensor, condition_BD: Tensor) -> Tensor:
        """Return the predicted noise (B, D).

        Args:
            h_BD: Noisy embeddings.
            step_B: Diffusion step of each row, from 0 to the number of steps.
            condition_BD: Embeddings to condition on.
        """
        features_BF = time_features(step_B.double() / self.steps, self.time_features)
        time_BF = self.time(features_BF.to(h_BD.dtype))
        h_BW = self.inlet(h_BD + self.time_in(time_BF))
        skips = [h_BW]
        for block, condition in zip(self.down, self.down_conditions, strict=True):
            h_BW = block(h_BW, condition(condition_BD), time_BF)
            skips.append(h_BW)
        h_BW = self.bottleneck(h_BW, self.bottleneck_condition(condition_BD), time_BF)
        for block, condition in zip(self.up, self.up_conditions, strict=True):
            h_BW = torch.cat([h_BW, skips.pop()], dim=1)
            h_BW = block(h_BW, condition(condition_BD), time_BF)
        h_BW = torch.cat([h_BW, skips.pop()], dim=1)
        noise_BD: Tensor = self.outlet(h_BW + self.time_out(time_BF))
        return noise_BD


def time_features(time_B: Tensor, features: int) -> Tensor:
    """Return sin and cos of 2π f t at `features` / 2 frequencies f from 1 to 1000, (B, features).

    Frequencies grow geometrically. Time 0 gives zeros, then ones.

    Args:
        time_B: Time of each row, from 0 to 1.
        features: Even.
    """
    exponent = torch.linspace(
        0, math.log(HIGHEST_FREQUENCY), features // 2, dtype=time_B.dtype, device=time_B.device
    )
    angle = 2 * math.pi * time_B[:, None] * exponent.exp()
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class _Block(nn.Module):
    """Two residual pairs of linear layers with attention to the condition between them."""

    def __init__(self, inputs: int, width: int, time: int, heads: int) -> None:
        super().__init__()
        self.time = nn.Linear(time, inputs)
        self.first = _ResidualPair(inputs, width)
        self.attention = nn.MultiheadAttention(width, heads)
        self.norm_attended = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width)
        )
        self.norm_out = nn.LayerNorm(width)
        self.second = _ResidualPair(width, width)

    def forward(self, h_BW: Tensor, condition_BW: Tensor, time_BF: Tensor) -> Tensor:
        h_BW = self.first(h_BW + self.time(time_BF))
        token_1BW = condition_BW[None]
        attended_1BW, _ = self.attention(h_BW[None], token_1BW, token_1BW, need_weights=False)
        h_BW = self.norm_attended(h_BW + attended_1BW[0])
        h_BW = self.norm_out(h_BW + self.mlp(h_BW))
        out_BW: Tensor = self.second(h_BW)
        return out_BW


class _ResidualPair(nn.Module):
    """Linear layers through twice the input's width, added to the input."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, 2 * inputs),
            nn.BatchNorm1d(2 * inputs),
            nn.ReLU(),
            nn.Linear(2 * inputs, width),
        )
        self.shortcut = nn.Identity() if inputs == width else nn.Linear(inputs, width)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, h_BW: Tensor) -> Tensor:
        return torch.relu(self.norm(self.shortcut(h_BW) + self.layers(h_BW)))
