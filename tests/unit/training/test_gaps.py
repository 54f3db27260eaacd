"""Missing values from the store to the gradients of every stage."""

import numpy as np
import pytest
import torch

from sparta_ray.data.batches.compact import BatchConfig, build_batch
from sparta_ray.data.batches.expand import expand, to_device
from sparta_ray.data.batches.view_operator import ViewOperator
from sparta_ray.data.plan.mask_shapes import Swath
from sparta_ray.data.plan.masking import MaskConfig
from sparta_ray.data.plan.sampling import SamplingConfig, make_plan
from sparta_ray.data.plan.splits import Split
from sparta_ray.data.plan.views import ViewConfig
from sparta_ray.data.store.store import Store
from sparta_ray.models.sparta import ModelConfig
from sparta_ray.training.stage_module import StageModule
from sparta_ray.training.stages import (
    AutoencoderStage,
    ContrastiveConfig,
    DecodeStage,
    JointStage,
    PretrainStage,
    build_model,
    model_kind,
    needs,
)

GRID, VIEWS = (64, 32), ViewConfig(resize=(40, 22), crop=(36, 20), filter=3)
MODEL = ModelConfig(width=0.15, embedding=16, projection=8, decoder_dropout=0.0)
SAMPLING = SamplingConfig(max_neighbour_days=2, hard_days=(3, 9), min_soft_days=7)
MASK = MaskConfig(on="grid", shape=Swath())


@pytest.fixture(scope="module")
def store(make_store):
    """A third of the days miss a corner of the map, and one variable everywhere."""
    missing = np.zeros((30, 3, *GRID), dtype=bool)
    missing[::3, :, :20, :9] = True
    missing[::3, 1] = True
    return Store(make_store(days=30, grid=GRID, missing=missing))


@pytest.mark.parametrize("fields", ["float32", "float16"])
@pytest.mark.parametrize(
    "stage", [PretrainStage(), JointStage(), DecodeStage(), AutoencoderStage()]
)
def test_every_stage_trains_on_fields_with_gaps(store, stage, fields):
    plan = make_plan(Split(0, 30), SAMPLING, VIEWS, MASK, 0, "train", 0)
    wanted = needs(stage, ContrastiveConfig())
    config = BatchConfig(fields=fields)
    batch = build_batch(store, plan, slice(0, 9), VIEWS, MASK, wanted, config)
    assert batch["gaps"].any()
    views = expand(to_device(batch, torch.device("cpu")), ViewOperator(GRID, VIEWS))
    model = build_model(model_kind(stage), store.variables, GRID, MODEL)
    module = StageModule(stage, model, ContrastiveConfig()).train()
    terms = module(views, epoch=50, rows=9)
    assert all(value.isfinite() for value in terms.values())
    terms["loss"].backward()
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.abs().sum() > 0 for gradient in gradients)
