"""Maps that go round in longitude, against padding by hand and turned globes."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from sparta_ray.models.decoder import Decoder
from sparta_ray.models.periodic import PeriodicConv2d, PeriodicMaxPool2d, convolution
from sparta_ray.models.resnet import ResNetEncoder
from sparta_ray.models.sparta import Autoencoder, ModelConfig, Sparta, parameter_count

TINY = {"width": 0.1, "embedding": 12, "projection": 6}
GRID = (64, 32)


def round_the_globe(x, reach):
    return torch.cat([x[:, :, -reach:], x, x[:, :, :reach]], dim=2)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (7, 2)])
def test_a_convolution_by_hand(kernel, stride):
    layer, reach = PeriodicConv2d(3, 5, kernel, stride, padding=kernel // 2), kernel // 2
    x = torch.randn(2, 3, 9, 7)
    expected = functional.conv2d(
        round_the_globe(x, reach), layer.weight, layer.bias, stride, (0, reach)
    )
    assert_close(layer(x), expected)
    plain = functional.conv2d(x, layer.weight, layer.bias, stride, reach)
    assert layer(x).shape == plain.shape
    assert not torch.allclose(layer(x)[:, :, 0], plain[:, :, 0])


def test_pooling_by_hand():
    x = torch.tensor([[5.0], [1.0], [2.0], [3.0], [0.0], [9.0]]).view(1, 1, 6, 1)
    found = PeriodicMaxPool2d(3, stride=2, padding=1)(x)
    assert found.flatten().tolist() == [9, 3, 9]  # of 9 5 1, of 1 2 3, of 3 0 9
    assert nn.MaxPool2d(3, stride=2, padding=1)(x).flatten().tolist() == [5, 3, 9]
    assert convolution(False) is nn.Conv2d


def test_an_encoder_sees_the_same_whichever_way_the_globe_is_turned():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 64, 40, dtype=torch.float64)
    turned = x.roll(32, dims=2)  # the encoder's strides multiply to 32
    periodic = ResNetEncoder(3, 12, 0.1, periodic=True).double().eval()
    assert_close(periodic(turned), periodic(x))
    plain = ResNetEncoder(3, 12, 0.1).double().eval()
    assert not torch.allclose(plain(turned), plain(x), rtol=1e-3)


def test_a_decoder_turns_with_its_embedding():
    torch.manual_seed(0)
    h = torch.randn(2, 6, 2, dtype=torch.float64)  # six channels of a map of two longitudes
    for periodic in (True, False):
        decoder = Decoder(3, GRID, 12, 0.3, periodic=periodic).double().eval()
        fields, turned = (decoder(x.flatten(1)) for x in (h, h.roll(1, dims=2)))
        assert torch.allclose(turned, fields.roll(32, dims=2)) is periodic


@pytest.mark.parametrize("model", [Sparta, Autoencoder])
def test_the_setting_chooses_whose_longitude_goes_round(model):
    def periodic(part):
        layers = [m for m in part.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
        kinds = {isinstance(layer, PeriodicConv2d) for layer in layers}
        assert len(kinds) == 1
        return kinds.pop()

    found, weights = {}, []
    for setting in ("none", "decoder", "both"):
        torch.manual_seed(0)
        built = model("abc", GRID, ModelConfig(periodic=setting, **TINY))
        found[setting] = periodic(built.encoder), periodic(built.decoder)
        weights.append(built.state_dict())
    assert found == {"none": (False, False), "decoder": (False, True), "both": (True, True)}
    for other in weights[1:]:
        assert_close(other, weights[0])


def test_the_autoencoder_may_have_spartas_decoder():
    same = Autoencoder("abc", GRID, ModelConfig(autoencoder_decoder="same", **TINY))
    sparta = Sparta("abc", GRID, ModelConfig(**TINY))
    smaller = Autoencoder("abc", GRID, ModelConfig(**TINY))
    assert str(same.decoder) == str(sparta.decoder)
    assert parameter_count(smaller.decoder) < parameter_count(same.decoder)
    assert parameter_count(same.encoder) == parameter_count(smaller.encoder)
