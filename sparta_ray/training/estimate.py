"""What a run will cost, counted on tensors that hold no values."""

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from sparta_ray.data.expand import Fields, Views
from sparta_ray.run import Run
from sparta_ray.training.stages import StageConfig, StageModule, build_model, model_kind, needs


def step_flop(run: Run, stage: StageConfig, grid: tuple[int, int]) -> int:
    """Return the floating-point operations of one full training step of a stage.

    Forward and backward passes of the networks and losses; views and optimiser are left out.
    """
    rows = run.sampling.anchors_per_batch * run.sampling.rows_per_anchor
    variables = run.data.variables
    with FakeTensorMode():
        model = build_model(model_kind(stage), variables, grid, run.model)
        module = StageModule(stage, model, run.training.contrastive)
        view = torch.empty(rows, len(variables), *run.views.crop)
        field = torch.empty(rows, len(variables), *grid)
        wanted = needs(stage, run.training.contrastive)
        pair = view if wanted.contrastive else None
        fields = Fields(field, field, field)
        label = torch.empty(rows, dtype=torch.int64) if wanted.labels else None
        views = Views(pair, pair, pair, view if wanted.input else None, fields, label, label)
        with FlopCounterMode(display=False) as counter:
            module.train()(views, epoch=0, rows=rows)["loss"].backward()
    return int(counter.get_total_flops())
