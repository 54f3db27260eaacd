import pytest
import torch
from torch.testing import assert_close

from sparta_ray.base.errors import ConfigError
from sparta_ray.models.decoder import Decoder, ResidualBlock, coarse_map


@pytest.mark.parametrize(
    ("grid", "embedding", "coarse"),
    [((64, 32), 1000, (500, 2, 1)), ((32, 32), 7, (7, 1, 1)), ((96, 64), 18, (3, 3, 2))],
)
def test_an_embedding_becomes_fields(grid, embedding, coarse):
    assert coarse_map(grid, embedding) == coarse
    decoder = Decoder(3, grid, embedding, width=0.05)
    assert decoder(torch.randn(2, embedding)).shape == (2, 3, *grid)


@pytest.mark.parametrize("grid", [(240, 121), (8, 6), (64, 33)])
def test_a_grid_that_doubling_does_not_reach(grid):
    message = rf"grid {grid[0]}x{grid[1]} must be multiples of 32; regrid to 64x32"
    with pytest.raises(ConfigError, match=message):
        Decoder(3, grid)


def test_an_embedding_that_does_not_divide():
    with pytest.raises(
        ConfigError, match=r"model\.embedding 7 does not divide.*2x1.*multiple of 2"
    ):
        Decoder(3, (64, 32), embedding=7)
    with pytest.raises(ConfigError, match=r"3x2 points; choose a multiple of 6"):
        coarse_map((96, 64), 1000)


def test_a_residual_block_by_hand():
    block = ResidualBlock(4, expansion=2, dropout=0.5).eval()
    x = torch.randn(2, 4, 5, 3)
    inner = torch.relu(block.convolutions[0](x))
    assert inner.shape == (2, 8, 5, 3)
    assert_close(block(x), torch.relu(x + block.convolutions[3](inner)))


def test_dropout_only_where_its_rate_is_above_zero():
    h = torch.randn(2, 10)
    with_dropout = Decoder(3, (64, 32), 10, width=0.3, dropout=0.1).train()
    assert not torch.equal(with_dropout(h), with_dropout(h))
    without = Decoder(3, (64, 32), 10, width=0.3, dropout=0.0).train()
    assert torch.equal(without(h), without(h))
