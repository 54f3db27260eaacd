"""Compiled networks give the losses and gradients of those that are not."""

import os
import shutil
from dataclasses import replace

import pytest
import torch

from sparta_ray.data.batches.expand import Fields, Views
from sparta_ray.models.compile import compile_networks
from sparta_ray.models.graph_fusion import GraphFusionConfig
from sparta_ray.models.sparta import ModelConfig
from sparta_ray.training.batch_losses import seeded_losses
from sparta_ray.training.stage_module import StageModule
from sparta_ray.training.stages import ContrastiveConfig, JointStage, build_model

GRID, ROWS = (64, 32), 5
MODEL = ModelConfig(width=0.04, embedding=8, projection=4, decoder_dropout=0.3)


GRAPH = replace(MODEL, fusion=GraphFusionConfig(edges=(("a", "b"),)))


def step(backend, config):
    torch.manual_seed(1)
    model = build_model("sparta", "ab", GRID, config)
    if backend is not None:
        compile_networks(model, backend)
    module = StageModule(JointStage(), model, ContrastiveConfig()).train()
    generator = torch.Generator().manual_seed(2)
    views = [torch.randn(ROWS, 2, 68, 36, generator=generator) for _ in range(4)]
    fields = [torch.randn(ROWS, 2, *GRID, generator=generator) for _ in range(3)]
    terms = seeded_losses(module, 3, "float32", Views(*views, Fields(*fields)), 4, ROWS)
    terms["loss"].backward()
    gradient = torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])
    return {name: float(value.detach()) for name, value in terms.items()}, gradient


def compare(backend, config):
    (terms, gradient), (theirs, their_gradient) = step(backend, config), step(None, config)
    assert terms == pytest.approx(theirs, rel=1e-5)
    assert (gradient - their_gradient).norm() < 1e-3 * their_gradient.norm()


@pytest.mark.parametrize("config", [MODEL, GRAPH], ids=lambda config: config.fusion.kind)
def test_as_traced(config):
    compare("aot_eager", config)


@pytest.mark.faults
@pytest.mark.timeout(300)
@pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="torch.compile needs a C++ compiler"
)
def test_as_compiled():
    compare("inductor", MODEL)
