import pytest
import torch

from sparta_ray.base.variables import PUBLISHED
from sparta_ray.models.sparta import Autoencoder, ModelConfig, Sparta, parameter_count

GRID = (64, 32)


@pytest.fixture(scope="module")
def sparta():
    return Sparta(PUBLISHED, GRID, ModelConfig())


@pytest.fixture(scope="module")
def autoencoder():
    return Autoencoder(PUBLISHED, GRID, ModelConfig())


def test_published_sizes_of_sparta(sparta):
    encoder, projector = parameter_count(sparta.encoder), parameter_count(sparta.projector)
    assert encoder + projector == 11_857_448
    assert parameter_count(sparta.decoder) == 3_661_140
    assert parameter_count(sparta) == 11_857_448 + 3_661_140


def test_published_sizes_of_the_autoencoder(autoencoder):
    assert parameter_count(autoencoder.encoder) == 11_695_784
    assert parameter_count(autoencoder.decoder) == 2_163_867
    assert parameter_count(autoencoder) == 13_859_651


def test_published_shapes(sparta):
    sparta.eval()
    with torch.inference_mode():
        h_BD, z_BP = sparta.project(torch.randn(2, 5, 144, 72))
        assert (h_BD.shape, z_BP.shape) == ((2, 1000), (2, 128))
        assert sparta.encoder(torch.randn(1, 5, 64, 32)).shape == (1, 1000)
        assert sparta.decoder(h_BD).shape == (2, 5, 64, 32)
    assert sparta.decoder.coarse == (500, 2, 1)


@pytest.mark.parametrize("width", [0.03, 0.3, 1.7])
def test_width_scales_encoder_and_decoder(sparta, width):
    other = Sparta("abc", GRID, ModelConfig(width=width, embedding=14, projection=6))
    ratio = parameter_count(other.encoder.stages) / parameter_count(sparta.encoder.stages)
    assert ratio == pytest.approx(width**2, rel=0.1)
    with torch.inference_mode():
        h_BD, z_BP = other.eval().project(torch.randn(3, 3, 41, 33))
        assert (h_BD.shape, z_BP.shape) == ((3, 14), (3, 6))
        assert other.decoder(h_BD).shape == (3, 3, 64, 32)
