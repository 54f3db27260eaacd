"""Short loss curves in float64: a change of code that moves them has changed the method.

Where that is meant, the new numbers go here and a line under *Numbers* into the changelog.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sparta_ray.data.batches import BatchBuilder, BatchRecipe
from sparta_ray.data.masking import MaskConfig
from sparta_ray.data.sampling import SamplingConfig
from sparta_ray.data.schedule import Schedule
from sparta_ray.data.splits import Split
from sparta_ray.data.store import Store
from sparta_ray.data.views import ViewConfig, ViewOperator
from sparta_ray.models.sparta import ModelConfig
from sparta_ray.training.loop import StageLoop, StageState
from sparta_ray.training.plateau import PlateauConfig
from sparta_ray.training.stages import (
    AutoencoderStage,
    ContrastiveConfig,
    DecodeStage,
    JointStage,
    PretrainStage,
    StageModule,
    build_model,
    model_kind,
    needs,
)

STAGES = (PretrainStage(), JointStage(alpha_decay=0.5), DecodeStage(), AutoencoderStage())
VARIABLES = ("2m_temperature", "geopotential@850", "specific_humidity@850")
GRID, SEED = (64, 32), 11
SCHEDULE = Schedule(epochs=2, train_steps=3, validation_steps=1)
VIEWS = ViewConfig(resize=(40, 36), crop=(36, 34), filter=3)
SAMPLING = SamplingConfig(rows_per_batch=9, max_neighbour_days=2, hard_days=(3, 9), min_soft_days=5)
MODEL = ModelConfig(width=0.06, embedding=12, projection=6, decoder_dropout=0.1)

EXPECTED = {
    "pretrain": [
        6.99827362721, 6.82177763831, 6.39115171119, 7.03460305197,
        6.81905415623, 6.97657521682, 6.9955495456, 7.0650114567,
    ],
    "joint": [
        22.9049301421, 18.8158159879, 17.4770350444, 14.1832606489,
        11.4101571605, 11.0221974822, 9.89978426303, 9.18203186847,
    ],
    "decode": [
        7.82493766638, 6.08033457912, 5.37005952348, 3.51517867733,
        4.71816046475, 4.2263808373, 3.95357406023, 3.23499581496,
    ],
    "autoencoder": [
        12.5981673448, 10.6623826575, 9.08182509122, 8.16265388159,
        8.12508670069, 7.43539244368, 6.9553754657, 6.5298653952,
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
        watched=batch(SCHEDULE.train_steps),
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
        for parameter in model.parameters():
            draw = torch.from_numpy(rng.standard_normal(tuple(parameter.shape)))
            if parameter.ndim > 1:
                parameter.copy_(draw * (2 / parameter[0].numel()) ** 0.5)
            else:
                parameter.add_(0.1 * draw)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.kind)
def test_the_curve_of_a_stage(path, stage):
    losses = curve(path, replace(stage, epochs=2, lr=1e-3))
    assert losses == pytest.approx(EXPECTED[stage.kind], rel=1e-6)
