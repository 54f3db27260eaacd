"""Short loss curves in float64: a change of code that moves them has changed the method.

Where that is meant, the new numbers go here and a line under *Numbers* into the changelog.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sparta_ray.data.batches.builder import BatchBuilder, BatchRecipe
from sparta_ray.data.batches.view_operator import ViewOperator
from sparta_ray.data.plan.masking import MaskConfig
from sparta_ray.data.plan.sampling import SamplingConfig
from sparta_ray.data.plan.schedule import Schedule
from sparta_ray.data.plan.splits import Split
from sparta_ray.data.plan.views import ViewConfig
from sparta_ray.data.store.store import Store
from sparta_ray.models.sparta import ModelConfig
from sparta_ray.training.loop import StageLoop
from sparta_ray.training.plateau import PlateauConfig
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
from sparta_ray.training.state import StageState

STAGES = (PretrainStage(), JointStage(alpha_decay=0.5), DecodeStage(), AutoencoderStage())
VARIABLES = ("2m_temperature", "geopotential@850", "specific_humidity@850")
GRID, SEED = (64, 32), 11
SCHEDULE = Schedule(epochs=2, train_steps=3, validation_steps=1)
VIEWS = ViewConfig(resize=(40, 36), crop=(36, 34), filter=3)
SAMPLING = SamplingConfig(rows_per_batch=9, max_neighbour_days=2, hard_days=(3, 9), min_soft_days=4)
MODEL = ModelConfig(width=0.06, embedding=12, projection=6, decoder_dropout=0.1)

EXPECTED = {
    "pretrain": [
        6.63898972055, 6.56366860236, 6.92631161966, 7.16771803989,
        6.24627811738, 7.03125548383, 6.23484816587, 6.15359714415,
    ],
    "joint": [
        19.9050252026, 16.5639944977, 15.9470307971, 12.7452559304,
        10.0801524717, 10.2459896655, 9.60978771149, 8.99077197368,
    ],
    "decode": [
        6.68001633843, 5.02235045333, 4.35456000149, 3.2348722372,
        3.97669414619, 3.61904990273, 3.46745484713, 3.12027211882,
    ],
    "autoencoder": [
        7.06024745577, 5.84787787915, 4.98602233112, 4.47714689975,
        4.51295737882, 4.1289251615, 3.89965596154, 3.71240936663,
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def path(make_store):
    return make_store(days=30, grid=GRID, training_days=18)


def curve(path, stage):
    """Return the loss of every batch of two epochs: three to train, one to validate."""
    kind, contrastive = model_kind(stage), ContrastiveConfig()
    recipe = BatchRecipe(
        store=path,
        splits={"train": Split(0, 16), "validation": Split(16, 30)},
        sampling=SAMPLING,
        views=VIEWS,
        mask=MaskConfig(),
        seed=SEED,
        schedule=SCHEDULE,
        needs=needs(stage, contrastive),
    )
    model = build_model(kind, VARIABLES, GRID, MODEL)
    fill(model)
    module = StageModule(stage, model, contrastive).double()
    builder, losses = BatchBuilder(recipe), []

    def batch(position):
        parts = builder.build(position)
        return {n: x.astype(float) if x.dtype == np.float32 else x for n, x in parts.items()}

    loop = StageLoop(
        schedule=SCHEDULE,
        operator=ViewOperator(Store(path).grid, VIEWS).double(),
        seed=SEED,
        precision="float32",
        probe_batch=batch(SCHEDULE.train_steps),
        on_step=lambda report: losses.append(float(report.terms["loss"])),
        on_epoch=lambda *_: None,
    )
    state = StageState.start(module, stage.lr, PlateauConfig())
    loop.run(state, module, map(batch, range(len(SCHEDULE))))
    return losses


def fill(model):
    """Draw the weights with NumPy, whose numbers are the same on every machine."""
    rng = np.random.default_rng(SEED)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            draw = torch.from_numpy(rng.standard_normal(tuple(parameter.shape)))
            if parameter.ndim > 1:
                parameter.copy_(draw * (2 / parameter[0].numel()) ** 0.5)
            else:
                parameter.copy_(0.1 * draw + (0.0 if name.endswith("bias") else 1.0))


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.kind)
def test_the_curve_of_a_stage(path, stage):
    losses = curve(path, replace(stage, epochs=2, lr=1e-3))
    assert losses == pytest.approx(EXPECTED[stage.kind], rel=1e-6)
