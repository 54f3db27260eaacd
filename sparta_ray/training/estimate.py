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
    variables = len(run.data.variables)
    with FakeTensorMode():
        model = build_model(model_kind(stage), variables, grid, run.model)
        module = StageModule(stage, model, run.training.contrastive, lambda z: z)
        view = torch.empty(rows, variables, *run.views.crop)
        field = torch.empty(rows, variables, *grid)
        wanted = needs(stage)
        pair = view if wanted.contrastive else None
        fields = Fields(field, field, field)
        views = Views(pair, pair, pair, view if wanted.input else None, fields)
        with FlopCounterMode(display=False) as counter:
            module.train()(views, epoch=0)["loss"].backward()
    return int(counter.get_total_flops())
