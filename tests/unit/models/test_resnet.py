import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from sparta_ray.models.resnet import BasicBlock, ResNetEncoder, channel_norm


def test_a_group_norm_of_one_channel_is_the_instance_norm():
    norm = channel_norm(3)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -2.0, 0.5]))
        norm.bias.copy_(torch.tensor([0.0, 3.0, -1.0]))
    x = 4 + 2 * torch.randn(2, 3, 5, 7)
    expected = functional.instance_norm(x, weight=norm.weight, bias=norm.bias)
    assert_close(norm(x), expected)
    by_hand = (x[1, 2] - x[1, 2].mean()) / (x[1, 2].var(correction=0) + 1e-5).sqrt() * 0.5 - 1
    assert_close(norm(x)[1, 2], by_hand)


def test_a_block_halves_the_map_and_adds_its_shortcut():
    block = BasicBlock(4, 6, stride=2)
    x = torch.randn(2, 4, 9, 5)
    y = block(x)
    assert y.shape == (2, 6, 5, 3)
    assert_close(y, torch.relu(block.main(x) + block.shortcut(x)))
    same = BasicBlock(4, 4, stride=1)
    assert_close(same(x), torch.relu(same.main(x) + x))


def test_in_eval_mode_a_row_does_not_depend_on_the_others():
    torch.manual_seed(0)
    encoder = ResNetEncoder(3, embedding=10, width=0.1).double().eval()
    x = torch.randn(4, 3, 36, 20, dtype=torch.float64)
    assert_close(encoder(x)[1:2], encoder(x[1:2]))


def test_only_the_stem_has_running_statistics():
    encoder = ResNetEncoder(3, embedding=10, width=0.1)
    buffers = {name for name, _ in encoder.named_buffers()}
    assert {name.split(".")[0] for name in buffers} == {"stem"}
    assert len(buffers) == 3


def test_every_input_channel_and_every_parameter_matters():
    torch.manual_seed(0)
    encoder = ResNetEncoder(3, embedding=10, width=0.1)
    x = torch.randn(4, 3, 36, 20, requires_grad=True)
    encoder(x).square().sum().backward()
    assert (x.grad.abs().sum(dim=(0, 2, 3)) > 0).all()
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


def test_convolutions_begin_as_in_the_published_runs():
    """The stem uniform within 1 / sqrt(inputs · 49), all others normal by their outputs."""
    torch.manual_seed(0)
    encoder = ResNetEncoder(5)
    stem = encoder.stem[0].weight
    bound = (5 * 49) ** -0.5
    assert float(stem.std()) == pytest.approx(0.0370, rel=0.02)
    assert bound * 0.99 < float(stem.abs().max()) <= bound
    for block in encoder.stages:
        weight = block.main[0].weight
        expected = (2 / (weight.shape[0] * 9)) ** 0.5
        assert float(weight.std()) == pytest.approx(expected, rel=0.02)
        assert float(weight.abs().max()) > 3 * expected
