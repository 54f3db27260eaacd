"""ResNet-18, the published encoder, with per-channel group norms (He et al. 2016; Wu and He 2018).

Legend: B rows, C input channels, I × J view, D embedding.
"""

from typing import Literal

from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sparta_ray.base.config import STRICT
from sparta_ray.base.errors import ConfigError
from sparta_ray.models.batch_norm import GlobalBatchNorm2d
from sparta_ray.models.periodic import PeriodicMaxPool2d, convolution

STAGE_WIDTHS = (64, 128, 256, 512)
BLOCKS_PER_STAGE = 2
_SHRINKAGE = 32
"""How many times smaller than a view the last map is, along each side."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ResNet18Config:
    """The published encoder, ResNet-18."""

    kind: Literal["resnet18"] = "resnet18"

    def check_size(self, view: tuple[int, int]) -> None:
        """Refuse a view of which the last map would be a single point.

        Args:
            view: Longitudes and latitudes.

        Raises:
            ConfigError: Neither side exceeds 32.
        """
        if max(view) <= _SHRINKAGE:
            raise ConfigError(
                f"views.crop {view} must exceed {_SHRINKAGE} on one side: the encoder's last "
                "map would be one point, and its per-channel norms would make every embedding the "
                "same"
            )

    def build(self, channels: int, embedding: int, width: float, periodic: bool) -> nn.Module:
        """Return the encoder of views (B, C, I, J).

        Args:
            channels: C.
            embedding: D.
            width: Factor on the number of channels inside.
            periodic: Whether convolutions join the two ends of longitude.
        """
        return ResNetEncoder(channels, embedding, width, periodic)


def scaled(channels: int, width: float) -> int:
    """Return a channel count times `width`, at least 1; width 1.0 is the published size."""
    return max(1, round(channels * width))


def channel_norm(channels: int) -> nn.GroupNorm:
    """Return a group norm with one channel per group, which does not depend on the batch."""
    return nn.GroupNorm(channels, channels)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, periodic: bool = False):
        super().__init__()
        convolve = convolution(periodic)
        self.main = nn.Sequential(
            convolve(inputs, outputs, 3, stride, padding=1, bias=False),
            channel_norm(outputs),
            nn.ReLU(),
            convolve(outputs, outputs, 3, padding=1, bias=False),
            channel_norm(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), channel_norm(outputs)
            )
        self.activation = nn.ReLU()

    def forward(self, x_BCIJ: Tensor) -> Tensor:
        """Return features, (B, outputs, I / stride, J / stride)."""
        y: Tensor = self.activation(self.main(x_BCIJ) + self.shortcut(x_BCIJ))
        return y


class ResNetEncoder(nn.Module):
    """From views to embeddings h; fully convolutional up to the global average pool.

    The stem keeps its batch norm; every other norm is a group norm with one channel per group.
    The stem's weights begin uniform, as torch draws them by default; those of all other
    convolutions begin normal (He et al. 2015).
    """

    def __init__(
        self, channels: int, embedding: int = 1000, width: float = 1.0, periodic: bool = False
    ):
        """Build the encoder; if `periodic`, it joins the two ends of a view's longitude."""
        super().__init__()
        widths = [scaled(stage, width) for stage in STAGE_WIDTHS]
        pool = PeriodicMaxPool2d if periodic else nn.MaxPool2d
        self.stem = nn.Sequential(
            convolution(periodic)(channels, widths[0], 7, stride=2, padding=3, bias=False),
            GlobalBatchNorm2d(widths[0]),
            nn.ReLU(),
            pool(3, stride=2, padding=1),
        )
        blocks: list[nn.Module] = []
        inputs = widths[0]
        for stage, outputs in enumerate(widths):
            for block in range(BLOCKS_PER_STAGE):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(BasicBlock(inputs, outputs, stride, periodic))
                inputs = outputs
        self.stages = nn.Sequential(*blocks)
        self.head = nn.Linear(inputs, embedding)
        # The published stem replaces ResNet's own convolution, so it keeps torch's uniform weights.
        for module in self.stages.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x_BCIJ: Tensor) -> Tensor:
        """Return the embedding h, shape (B, D)."""
        features = self.stages(self.stem(x_BCIJ))
        h_BD: Tensor = self.head(features.mean(dim=(2, 3)))
        return h_BD
