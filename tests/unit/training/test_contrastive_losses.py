"""Every contrastive loss in the stages that use it, from the store's days to the gradient."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from sparta_ray.base.config import from_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.data.batches.compact import build_batch
from sparta_ray.data.batches.expand import expand, to_device
from sparta_ray.data.batches.view_operator import ViewOperator
from sparta_ray.data.plan.masking import MaskConfig
from sparta_ray.data.plan.sampling import SamplingConfig, make_plan
from sparta_ray.data.plan.seasons import season_of
from sparta_ray.data.plan.splits import Split
from sparta_ray.data.plan.views import ViewConfig
from sparta_ray.data.store.store import Store
from sparta_ray.losses.cycle import cycle_consistency
from sparta_ray.losses.kinds import (
    AdjacentPositives,
    BarlowTwins,
    NtXent,
    SoftContrastive,
    SupervisedContrastive,
)
from sparta_ray.losses.projected_rows import ProjectedRows
from sparta_ray.models.sparta import ModelConfig
from sparta_ray.training.stage_module import StageModule
from sparta_ray.training.stages import (
    ContrastiveConfig,
    DecodeStage,
    JointStage,
    PretrainStage,
    build_model,
    needs,
)

KINDS = [NtXent(), SupervisedContrastive(), BarlowTwins(), SoftContrastive(), AdjacentPositives()]
EVERY_KIND = pytest.mark.parametrize("loss", KINDS, ids=lambda loss: loss.kind)
VIEWS = ViewConfig(resize=(41, 37), crop=(38, 34), filter=3)
SAMPLING = SamplingConfig(hard_days=(3, 9), min_soft_days=30, rows_per_batch=9)
MODEL = ModelConfig(width=0.1, embedding=12, projection=6)
ROWS = 9


@pytest.fixture(scope="module")
def store(make_store):
    return Store(make_store(days=90, grid=(64, 32)))


def views_of(store, stage, contrastive):
    plan = make_plan(Split(0, 90), SAMPLING, VIEWS, MaskConfig(), 3, "train", 0)
    wanted = needs(stage, contrastive)
    batch = build_batch(store, plan, slice(0, ROWS), VIEWS, MaskConfig(), wanted)
    views = expand(to_device(batch, torch.device("cpu")), ViewOperator(store.grid, VIEWS))
    return plan, views


@EVERY_KIND
def test_the_pretraining_loss_by_hand(store, loss):
    config = ContrastiveConfig(loss=loss, cycle_weight=0.7)
    plan, views = views_of(store, PretrainStage(), config)
    module = StageModule(
        PretrainStage(), build_model("sparta", store.variables, store.grid, MODEL), config
    )
    terms = module.eval()(views, epoch=0, rows=ROWS)
    (h, z), (h_after, z_after), (h_before, z_before) = map(
        module.model.project, (views.anchor, views.after, views.before)
    )
    day = plan.day[:ROWS]
    labels = torch.from_numpy(day), torch.from_numpy(season_of(store.days[day]))
    contrastive = loss(ProjectedRows(z_before, z, z_after, *labels))
    cycle = cycle_consistency(h_before, h, h_after)
    assert terms.keys() == {"loss", loss.kind, "cycle"}
    assert_close(terms[loss.kind], contrastive)
    assert_close(terms["loss"], contrastive + 0.7 * cycle)


@EVERY_KIND
def test_the_joint_stage_trains_every_part(store, loss):
    config = ContrastiveConfig(loss=loss)
    _, views = views_of(store, JointStage(), config)
    model = build_model("sparta", store.variables, store.grid, MODEL)
    module = StageModule(JointStage(), model, config).train()
    module(views, epoch=3, rows=ROWS)["loss"].backward()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


def test_both_seasons_are_among_these_rows(store):
    _, views = views_of(store, PretrainStage(), ContrastiveConfig(loss=SupervisedContrastive()))
    assert set(views.season.tolist()) == {0, 1}
    assert len(np.unique(views.step)) > 6


def test_labels_travel_only_where_a_loss_looks_at_them():
    labelled = {
        loss.kind for loss in KINDS if needs(PretrainStage(), ContrastiveConfig(loss=loss)).labels
    }
    assert labelled == {"supervised", "soft"}
    assert not needs(DecodeStage(), ContrastiveConfig(loss=SoftContrastive())).labels


def test_a_loss_is_chosen_by_its_tag():
    config = from_tree(ContrastiveConfig, {"loss": {"kind": "soft", "sharpness": 0.5}}, "run")
    assert config == ContrastiveConfig(loss=SoftContrastive(sharpness=0.5))
    with pytest.raises(ConfigError, match=r"loss\.barlow_twins\.temperature: unknown key"):
        from_tree(ContrastiveConfig, {"loss": {"kind": "barlow_twins", "temperature": 1.0}}, "run")
