"""The decoder: from an embedding back to the fields on the data's own grid.

Legend: B rows, D embedding, C channels, V variables, X × Y the data's longitude × latitude.
"""

from torch import Tensor, nn

from sparta_ray.base.errors import ConfigError
from sparta_ray.models.dropout import RowDropout
from sparta_ray.models.periodic import convolution
from sparta_ray.models.resnet import scaled

BLOCK_CHANNELS = (250, 125, 62, 31, 15)
_UPSCALING = 2 ** len(BLOCK_CHANNELS)


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), then ReLU; with dropout where its rate is above 0."""

    def __init__(self, channels: int, expansion: int, dropout: float, periodic: bool = False):
        super().__init__()
        inner, convolve = channels * expansion, convolution(periodic)
        self.convolutions = nn.Sequential(
            convolve(channels, inner, 3, padding=1),
            nn.ReLU(),
            RowDropout(dropout),
            convolve(inner, channels, 3, padding=1),
        )
        self.output = nn.Sequential(nn.ReLU(), RowDropout(dropout))

    def forward(self, x_BCXY: Tensor) -> Tensor:
        """Return features of the same shape."""
        y: Tensor = self.output(x_BCXY + self.convolutions(x_BCXY))
        return y


class Decoder(nn.Module):
    """Reshapes h to a coarse map and doubles it five times to the grid."""

    def __init__(
        self,
        variables: int,
        grid: tuple[int, int],
        embedding: int = 1000,
        width: float = 1.0,
        expansion: int = 2,
        dropout: float = 0.1,
        periodic: bool = False,
    ):
        """Build the decoder for a grid (X, Y); if `periodic`, it joins the two ends of longitude.

        Raises:
            ConfigError: The grid or the embedding does not divide into the coarse map.
        """
        super().__init__()
        self.coarse = coarse_map(grid, embedding)
        blocks: list[nn.Module] = []
        inputs = self.coarse[0]
        for channels in (scaled(block, width) for block in BLOCK_CHANNELS):
            blocks.append(nn.ConvTranspose2d(inputs, channels, 2, stride=2))
            blocks.append(ResidualBlock(channels, expansion, dropout, periodic))
            inputs = channels
        self.blocks = nn.Sequential(*blocks)
        self.output = nn.Conv2d(inputs, variables, 1)

    def forward(self, h_BD: Tensor) -> Tensor:
        """Return standardised fields, shape (B, V, X, Y)."""
        x_BVXY: Tensor = self.output(self.blocks(h_BD.reshape(-1, *self.coarse)))
        return x_BVXY


def coarse_map(grid: tuple[int, int], embedding: int) -> tuple[int, int, int]:
    """Return channels, longitudes and latitudes of the reshaped embedding: (500, 2, 1)."""
    if any(size % _UPSCALING for size in grid):
        raise ConfigError(
            f"the decoder doubles a coarse map {len(BLOCK_CHANNELS)} times, so both sides of the "
            f"grid {grid[0]}x{grid[1]} must be multiples of {_UPSCALING}; regrid to 64x32"
        )
    x, y = grid[0] // _UPSCALING, grid[1] // _UPSCALING
    if embedding % (x * y):
        raise ConfigError(
            f"model.embedding {embedding} does not divide into a coarse map of {x}x{y} points; "
            f"choose a multiple of {x * y}"
        )
    return embedding // (x * y), x, y
