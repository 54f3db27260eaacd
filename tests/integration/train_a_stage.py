"""Train the first stage of a run's file for some steps in float64, save its model and read it.

Run as a program on a copy of the project: the run's file, a store of the tests, and a folder.
"""

import sys
from dataclasses import replace

import torch

from sparta_ray.base.config import from_tree, load, to_tree
from sparta_ray.base.folder import RunFolder
from sparta_ray.data.batches.builder import BatchBuilder, BatchRecipe
from sparta_ray.data.batches.view_operator import ViewOperator
from sparta_ray.data.plan.masking import MaskConfig
from sparta_ray.data.plan.sampling import SamplingConfig, batches_per_epoch
from sparta_ray.data.plan.schedule import Schedule
from sparta_ray.data.plan.splits import Split
from sparta_ray.data.store.store import Store
from sparta_ray.run.settings import Run
from sparta_ray.training.health import HealthConfig
from sparta_ray.training.loop import StageLoop
from sparta_ray.training.model_card import ModelCard, load_model, save_model
from sparta_ray.training.plateau import PlateauConfig
from sparta_ray.training.reporter import StageReporter
from sparta_ray.training.stage_module import StageModule
from sparta_ray.training.stages import build_model, needs
from sparta_ray.training.state import StageState

SAMPLING = SamplingConfig(
    rows_per_batch=12, max_neighbour_days=2, hard_days=(3, 9), min_soft_days=7
)
SPLITS = {"train": Split(0, 26), "validation": Split(26, 46)}
EPOCHS = 3


def train(run: Run, store: Store, folder: str) -> None:
    """Train the first stage for a few epochs, and leave its records and its model in `folder`."""
    stage = replace(run.training.stages[0], epochs=EPOCHS, lr=3e-3)
    contrastive = run.training.contrastive
    schedule = Schedule(EPOCHS, *(batches_per_epoch(part, SAMPLING) for part in SPLITS.values()))
    recipe = BatchRecipe(
        store.path, SPLITS, SAMPLING, run.views, MaskConfig(), 5, schedule,
        needs(stage, contrastive),
    )  # fmt: skip
    builder = BatchBuilder(recipe)
    torch.manual_seed(1)
    model = build_model("sparta", store.variables, store.grid, run.model)
    module = StageModule(stage, model, contrastive).double()
    reporter = StageReporter(
        RunFolder(folder), lambda *_: None, stage.kind, "own", schedule, HealthConfig(), every=0
    )
    loop = StageLoop(
        schedule=schedule,
        operator=ViewOperator(store.grid, run.views).double(),
        seed=5,
        precision="float64",
        probe_batch=builder.build(schedule.train_steps),
        on_step=reporter.step,
        on_epoch=lambda _, report: reporter.epoch(report),
    )
    state = StageState.start(module, stage.lr, PlateauConfig())
    loop.run(state, module, map(builder.build, range(len(schedule))))
    for part in (model.encoder, model.projector):
        moved = state.optimiser.state  # of a weight only if it ever had a gradient
        idle = [key for key, weight in part.named_parameters() if weight not in moved]
        assert not idle, f"weights that nothing trains: {idle}"
    card = ModelCard.describe("sparta", run.model, run.views, store)
    save_model(folder, card, model.state_dict())
    _, read = load_model(folder)
    x = torch.randn(4, run.model.channels(len(store.variables)), *run.views.crop)
    h = model.float().eval().encoder(x)
    assert h.equal(read.encoder(x))
    assert (h.std(dim=0) > 0).all()


if __name__ == "__main__":
    file, path, target = sys.argv[1:]
    settings = load(Run, file)
    assert from_tree(Run, to_tree(settings), "a model's card") == settings
    train(settings, Store(path), target)
