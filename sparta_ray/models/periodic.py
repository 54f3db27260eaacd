"""Convolution and pooling on maps whose two ends of longitude meet.

Legend: B rows, C channels, X × Y longitude × latitude.
"""

from torch import Tensor, nn
from torch.nn import functional


class PeriodicConv2d(nn.Conv2d):
    """`nn.Conv2d` that pads longitude from the opposite end of the map, and latitude with zeros."""

    def forward(self, x_BCXY: Tensor) -> Tensor:
        """Return features."""
        assert not isinstance(self.padding, str)
        reach, zeros = self.padding
        return functional.conv2d(
            _pad_longitude(x_BCXY, reach), self.weight, self.bias, self.stride, (0, zeros)
        )  # fmt: skip


class PeriodicMaxPool2d(nn.MaxPool2d):
    """`nn.MaxPool2d` whose windows extend across the ends of longitude."""

    def forward(self, x_BCXY: Tensor) -> Tensor:
        """Return the largest value in each window."""
        reach = self.padding
        assert isinstance(reach, int)
        return functional.max_pool2d(
            _pad_longitude(x_BCXY, reach), self.kernel_size, self.stride, (0, reach)
        )


def convolution(periodic: bool) -> type[nn.Conv2d]:
    """Return the convolution class: circular in longitude if `periodic`, else zero-padded."""
    return PeriodicConv2d if periodic else nn.Conv2d


def _pad_longitude(x_BCXY: Tensor, reach: int) -> Tensor:
    return functional.pad(x_BCXY, (0, 0, reach, reach), mode="circular")
