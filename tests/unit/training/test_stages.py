import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from sparta_ray.base.config import from_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.data.batches.compact import Needs
from sparta_ray.data.batches.expand import Fields, Views
from sparta_ray.losses.cycle import cycle_consistency, cycle_consistency_of_directions
from sparta_ray.losses.kinds import NtXent
from sparta_ray.losses.nt_xent import nt_xent
from sparta_ray.losses.reconstruction import reconstruction
from sparta_ray.models.sparta import Autoencoder, ModelConfig, Sparta
from sparta_ray.training.config import TrainingConfig
from sparta_ray.training.stage_module import StageModule
from sparta_ray.training.stages import (
    AutoencoderStage,
    ContrastiveConfig,
    DecodeStage,
    JointStage,
    PretrainStage,
    alpha,
    build_model,
    model_kind,
    needs,
)

VARIABLES, GRID, VIEW = "abc", (64, 32), (40, 34)
CONFIG = ModelConfig(width=0.15, embedding=12, projection=6, decoder_dropout=0.0)
STAGES = [PretrainStage(), JointStage(), DecodeStage(), AutoencoderStage()]


def views_of(rows, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def random(*size):
        return torch.randn(rows, len(VARIABLES), *size, generator=generator)

    fields = Fields(random(*GRID), random(*GRID), random(*GRID))
    return Views(random(*VIEW), random(*VIEW), random(*VIEW), random(*VIEW), fields)


def module_of(stage, contrastive=None, area=None):
    torch.manual_seed(1)
    model = build_model(model_kind(stage), VARIABLES, GRID, CONFIG)
    return StageModule(stage, model, contrastive or ContrastiveConfig(), area)


@pytest.mark.parametrize(
    ("stage", "trained"),
    [
        (PretrainStage(), {"encoder", "projector"}),
        (JointStage(), {"encoder", "projector", "decoder"}),
        (DecodeStage(), {"decoder"}),
        (AutoencoderStage(), {"encoder", "decoder"}),
    ],
)
def test_which_parts_a_stage_trains(stage, trained):
    module = module_of(stage).train()
    module(views_of(5), epoch=3, rows=5)["loss"].backward()
    parts = dict(module.model.named_children())
    for name, part in parts.items():
        gradients = [parameter.grad for parameter in part.parameters()]
        if name in trained:
            assert all(gradient is not None for gradient in gradients)
            assert any(gradient.abs().sum() > 0 for gradient in gradients)
        else:
            assert all(gradient is None for gradient in gradients)


def test_this_tiny_model_tells_rows_apart():
    module = module_of(JointStage()).eval()
    h_BD, _ = module.model.project(views_of(5).anchor)
    assert (h_BD.std(dim=0) > 1e-2).all()
    assert module.model.decoder(h_BD).std(dim=0).max() > 1e-5


def test_a_new_stage_frees_what_the_one_before_had_frozen():
    module = module_of(DecodeStage())
    again = StageModule(JointStage(), module.model, ContrastiveConfig())
    assert all(parameter.requires_grad for parameter in again.parameters())


def test_stages_know_their_model_and_their_needs():
    assert [model_kind(stage) for stage in STAGES] == ["sparta"] * 3 + ["autoencoder"]
    assert [needs(stage, ContrastiveConfig()) for stage in STAGES] == [
        Needs(contrastive=True, input=False),
        Needs(contrastive=True, input=True),
        Needs(contrastive=False, input=True),
        Needs(contrastive=False, input=True),
    ]
    assert isinstance(build_model("sparta", VARIABLES, GRID, CONFIG), Sparta)
    assert isinstance(build_model("autoencoder", VARIABLES, GRID, CONFIG), Autoencoder)


def test_alpha_fades_from_one_to_the_published_end():
    assert alpha(JointStage(), 0) == 1
    assert alpha(JointStage(), 249) == pytest.approx(0.083, abs=5e-4)
    assert alpha(JointStage(alpha_decay=0), 249) == 1


def test_a_frozen_encoder_stays_in_eval_mode_and_keeps_its_statistics():
    module = module_of(DecodeStage())
    module.model.encoder.train()
    module.train()
    assert not any(part.training for part in module.model.encoder.modules())
    assert module.model.decoder.training
    before = {name: value.clone() for name, value in module.model.encoder.state_dict().items()}
    module(views_of(5), epoch=0, rows=5)
    for name, value in module.model.encoder.state_dict().items():
        assert_close(value, before[name], rtol=0, atol=0)


def test_a_trained_encoder_gathers_statistics_in_training_alone():
    module = module_of(PretrainStage())
    statistics = module.model.encoder.stem[1].running_mean
    start = statistics.clone()
    module.eval()
    module(views_of(5), epoch=0, rows=5)
    assert_close(statistics, start, rtol=0, atol=0)
    module.train()
    module(views_of(5), epoch=0, rows=5)
    assert not torch.equal(statistics, start)


def test_the_pretraining_loss_by_hand():
    config = ContrastiveConfig(loss=NtXent(temperature=0.2), cycle_weight=0.7)
    module = module_of(PretrainStage(), config)
    module.eval()
    views = views_of(5)
    (h, z), (h_after, z_after), (h_before, z_before) = map(
        module.model.project, (views.anchor, views.after, views.before)
    )
    contrastive = nt_xent(z, z_after, 0.2) + nt_xent(z, z_before, 0.2)
    cycle = cycle_consistency(h_before, h, h_after)
    terms = module(views, epoch=7, rows=5)
    assert terms.keys() == {"loss", "nt_xent", "cycle"}
    assert_close(terms["nt_xent"], contrastive)
    assert_close(terms["cycle"], cycle)
    assert_close(terms["loss"], contrastive + 0.7 * cycle)


def test_the_cycle_loss_of_directions_is_the_one_that_counts_if_asked_for():
    config = ContrastiveConfig(cycle_normalise=True, cycle_weight=0.7)
    module, views = module_of(PretrainStage(), config).eval(), views_of(5)
    h, h_after, h_before = map(module.model.encoder, (views.anchor, views.after, views.before))
    terms = module(views, epoch=0, rows=5)
    assert_close(terms["cycle"], cycle_consistency_of_directions(h_before, h, h_after))
    assert_close(terms["loss"], terms["nt_xent"] + 0.7 * terms["cycle"])


@pytest.mark.parametrize("area", [None, torch.linspace(0.1, 1.9, GRID[1])])
def test_the_joint_loss_by_hand(area):
    module = module_of(JointStage(alpha_decay=0.1), area=area).eval()
    views, model = views_of(5), module.model
    (h, z), (h_after, z_after), (h_before, z_before) = map(
        model.project, (views.anchor, views.after, views.before)
    )
    contrastive = nt_xent(z, z_after, 0.3) + nt_xent(z, z_before, 0.3)
    cycle = cycle_consistency(h_before, h, h_after)
    fields = views.fields
    neighbours = reconstruction(model.decoder(h_after), fields.after, area_Y=area) + reconstruction(
        model.decoder(h_before), fields.before, area_Y=area
    )
    decoded = model.decoder(model.encoder(views.input))
    day = reconstruction(decoded, fields.day, area_Y=area)
    a = math.exp(-0.1 * 4)
    terms = module(views, epoch=4, rows=5)
    assert_close(terms["loss"], a * (contrastive + cycle + neighbours) + (1 - a) * day)
    assert_close(terms["neighbour_reconstruction"], neighbours)
    assert_close(terms["reconstruction"], day)


@pytest.mark.parametrize("stage", [DecodeStage(), AutoencoderStage()])
def test_the_reconstruction_stages_look_at_the_input_view_alone(stage):
    module = module_of(stage).eval()
    views = views_of(5)
    only_input = Views(None, None, None, views.input, Fields(views.fields.day, None, None))
    terms = module(only_input, epoch=0, rows=5)
    decoded = module.model.decoder(module.model.encoder(views.input))
    assert_close(terms["loss"], reconstruction(decoded, views.fields.day))


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ([], "name at least one stage"),
        (["pretrain", "autoencoder", "joint"], "those of one model must stand together"),
    ],
)
def test_stages_of_one_model_stand_together(kinds, message):
    tree = {"stages": [{"kind": kind} for kind in kinds]}
    with pytest.raises(ConfigError, match=message):
        from_tree(TrainingConfig, tree, "run")


def test_the_published_stages():
    stages = TrainingConfig().stages
    assert [(s.kind, s.epochs, s.lr) for s in stages] == [
        ("pretrain", 100, 1e-4),
        ("joint", 250, 1e-4),
        ("decode", 200, 1e-4),
        ("autoencoder", 180, 1e-3),
    ]


def test_latitude_weights_are_the_areas_of_cells_if_asked_for():
    latitude = np.array([-60.0, 0.0, 60.0])  # edges at ±30: half of the area, a quarter each beyond
    assert TrainingConfig().latitude_weights(latitude) is None
    weights = TrainingConfig(area_weights=True).latitude_weights(latitude)
    assert_close(weights, torch.tensor([0.75, 1.5, 0.75]))
