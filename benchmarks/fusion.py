"""Late fusion: what joining the variables' embeddings costs beside their encoders."""

from collections.abc import Callable, Iterator

import torch
from torch import nn

from benchmarks.harness import Row, Setting, side_by_side
from sparta_ray.base.variables import PUBLISHED
from sparta_ray.models.attention_fusion import AttentionFusionConfig
from sparta_ray.models.fusion import LateFusionEncoder
from sparta_ray.models.graph_fusion import GraphFusionConfig
from sparta_ray.models.sparta import ModelConfig, Sparta


def measure(setting: Setting) -> Iterator[Row]:
    """Weigh a forward and backward pass of each fusion with one of its encoders together.

    Published sizes, fewer rows: the encoders' cost grows with the rows, the fusion's too.
    """
    rows, view = (4, (36, 34)) if setting.quick else (16, (144, 72))
    for config in (AttentionFusionConfig(), GraphFusionConfig()):
        sizes = ModelConfig(fusion=config, width=0.05 if setting.quick else 1.0)
        encoder = Sparta(PUBLISHED, (64, 32), sizes).encoder
        assert isinstance(encoder, LateFusionEncoder)
        embeddings = torch.randn(rows, len(PUBLISHED), sizes.embedding, requires_grad=True)
        views = torch.randn(rows, len(PUBLISHED), *view)
        pair = side_by_side(
            _pass(encoder.fusion, embeddings),
            _pass(_Encoders(encoder.encoders), views),
            setting.few,
        )
        share = 100 * pair.ours / pair.plain
        yield Row(f"fusion by {config.kind}: share of its encoders' time in a step", "%", share,
                  target="< 1 %", reached=share < 1)  # fmt: skip


class _Encoders(nn.Module):
    """The encoders of a late fusion, without what joins them."""

    def __init__(self, encoders: nn.ModuleList):
        super().__init__()
        self.encoders = encoders

    def forward(self, x_BVIJ: torch.Tensor) -> torch.Tensor:
        """Return every variable's embedding, (B, V, D)."""
        fields = x_BVIJ.unsqueeze(2).unbind(1)
        return torch.stack([e(x) for e, x in zip(self.encoders, fields, strict=True)], dim=1)


def _pass(module: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    def work() -> None:
        module.zero_grad(set_to_none=True)
        module(x).square().sum().backward()

    return work
