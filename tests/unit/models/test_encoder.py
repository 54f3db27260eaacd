"""The choice of an encoder: by its tag, and only with views that it can take."""

import numpy as np
import pytest
import torch

from sparta_ray.base.config import from_tree, load
from sparta_ray.base.errors import ConfigError
from sparta_ray.models.resnet import ResNet18Config, ResNetEncoder
from sparta_ray.models.sparta import ModelConfig
from sparta_ray.run.checks import check_run
from sparta_ray.run.settings import Run


def test_an_encoder_is_chosen_by_its_tag():
    assert ModelConfig().encoder == ResNet18Config()
    assert from_tree(ModelConfig, {"encoder": {"kind": "resnet18"}}, "run") == ModelConfig()
    with pytest.raises(ConfigError, match=r"encoder\.kind: .*'resnet18' \(got 'resnet19'\)"):
        from_tree(ModelConfig, {"encoder": {"kind": "resnet19"}}, "run")


def test_it_is_built_of_the_models_sizes():
    sizes = ModelConfig(width=0.1, embedding=10, mask_channels=True, periodic="both")
    encoder = sizes.encoder_of(3)
    assert isinstance(encoder, ResNetEncoder)
    assert encoder.stem[0].in_channels == 6
    assert type(encoder.stem[0]).__name__ == "PeriodicConv2d"
    assert encoder(torch.randn(2, 6, 41, 33)).shape == (2, 10)


@pytest.mark.parametrize("view", [(32, 32), (17, 31)])
def test_a_view_whose_last_map_is_one_point_is_refused(view):
    with pytest.raises(ConfigError, match=rf"views.crop \({view[0]}, {view[1]}\) must exceed 32"):
        ResNet18Config().check_size(view)


@pytest.mark.parametrize("view", [(33, 1), (20, 40)])
def test_a_view_with_one_long_side_is_taken(view):
    encoder = ResNet18Config()
    encoder.check_size(view)
    torch.manual_seed(0)
    h = encoder.build(2, 6, 0.1, False)(torch.randn(3, 2, *view))
    assert (h.std(dim=0) > 0).all()


def test_a_run_asks_its_encoder():
    days = np.datetime64("1959-01-01") + np.arange(23_386)
    run = load(Run, None, ["views={resize: [40, 40], crop: [32, 32]}"])
    with pytest.raises(ConfigError, match=r"views.crop \(32, 32\) must exceed 32 on one side"):
        check_run(run, days, (64, 32))
