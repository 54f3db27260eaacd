"""A batch in parts gives the loss and the gradient of the whole, where it may be taken so."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from sparta_ray.base.config import load
from sparta_ray.base.errors import ConfigError
from sparta_ray.data.batches.expand import Fields, Views
from sparta_ray.models.sparta import ModelConfig
from sparta_ray.run.settings import Run
from sparta_ray.training.accumulate import accumulate
from sparta_ray.training.batch_losses import seeded_losses
from sparta_ray.training.stage_module import StageModule
from sparta_ray.training.stages import ContrastiveConfig, DecodeStage, build_model

GRID, ROWS = (64, 32), 7
MODEL = ModelConfig(width=0.06, embedding=16, projection=8, decoder_dropout=0.3)


def views_of(missing):
    generator = torch.Generator().manual_seed(4)
    view = torch.randn(ROWS, 3, 68, 36, generator=generator, dtype=torch.float64)
    day = torch.randn(ROWS, 3, *GRID, generator=generator, dtype=torch.float64)
    if missing:  # unevenly, so that a mean of the parts' means would be another number
        day[0, 1] = torch.nan
        day[5, :, :20] = torch.nan
    return Views(None, None, None, view, Fields(day, None, None, gaps=missing))


def step(views, parts, area=None):
    torch.manual_seed(1)
    model = build_model("sparta", "abc", GRID, MODEL)
    module = StageModule(DecodeStage(), model, ContrastiveConfig(), area).double().train()

    def losses(*arguments):
        return seeded_losses(module, 9, "float64", *arguments)

    if parts is None:
        terms = losses(views, 0, ROWS)
        terms["loss"].backward()
    else:
        terms = accumulate(losses, module, views, 0, ROWS, parts)
    gradients = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
    return {name: value.detach() for name, value in terms.items()}, gradients


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("area", [None, torch.linspace(0.1, 1.9, GRID[1])])
def test_parts_give_the_whole_batch_s_loss_and_gradient(missing, area):
    views = views_of(missing)
    terms, gradients = step(views, None, area)
    assert gradients
    for parts in (1, 3, 7, 50):
        ours, theirs = step(views, parts, area)
        assert_close(ours, terms, rtol=1e-12, atol=0)
        assert_close(theirs, gradients, rtol=1e-9, atol=1e-13)


def test_a_part_alone_is_not_the_batch():
    views = views_of(True)
    part = replace(
        views, input=views.input[:3], fields=replace(views.fields, day=views.fields.day[:3])
    )
    assert step(part, 1)[0]["loss"] != step(views, 1)[0]["loss"]


@pytest.mark.parametrize("kind", ["pretrain", "joint", "autoencoder"])
def test_where_rows_meet_before_the_loss_it_is_refused_with_the_reason(kind):
    message = (
        f"training.stages.0.{kind}.accumulate.*batch norm takes mean and variance of the whole"
    )
    with pytest.raises(ConfigError, match=message):
        load(Run, None, [f"training.stages=[{{kind: {kind}, accumulate: 2}}]"])
    load(Run, None, ["training.stages=[{kind: decode, accumulate: 2}]"])
