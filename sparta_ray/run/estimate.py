"""What a run will cost: operations are counted on tensors that hold no values."""

from dataclasses import dataclass, replace
from functools import cache

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from sparta_ray.data.batches.expand import Fields, Views
from sparta_ray.models.sparta import ModelConfig, parameter_count
from sparta_ray.run.settings import Run, schedule
from sparta_ray.training.stage_module import StageModule
from sparta_ray.training.stages import (
    ContrastiveConfig,
    ModelKind,
    StageConfig,
    build_model,
    model_kind,
    needs,
)


@dataclass(frozen=True)
class StageCost:
    """What one stage of a run trains, and what that costs without validation.

    Attributes:
        stage: Its kind.
        model: Which model it trains.
        parameters: Of that model, trained or not.
        trained_parameters: Of the parts that this stage trains.
        epochs: Number of epochs.
        steps: Optimiser steps in all.
        rows: Rows of a full step.
        step_flop: Floating-point operations of a full step.
    """

    stage: str
    model: ModelKind
    parameters: int
    trained_parameters: int
    epochs: int
    steps: int
    rows: int
    step_flop: int

    @property
    def flop(self) -> int:
        """Floating-point operations in all."""
        return self.steps * self.step_flop


def stage_costs(run: Run, days: int, grid: tuple[int, int]) -> list[StageCost]:
    """Return the cost of each stage of a run, in their order.

    Args:
        run: The run.
        days: Of its data.
        grid: Longitudes and latitudes.
    """
    return [_stage_cost(run, stage, days, grid) for stage in run.training.stages]


def _stage_cost(run: Run, stage: StageConfig, days: int, grid: tuple[int, int]) -> StageCost:
    with FakeTensorMode():
        module = _Step.of(run, stage, grid).module()
    plan, trained = schedule(run, stage, days), (p for p in module.parameters() if p.requires_grad)
    return StageCost(
        stage=stage.kind,
        model=model_kind(stage),
        parameters=parameter_count(module),
        trained_parameters=sum(parameter.numel() for parameter in trained),
        epochs=plan.epochs,
        steps=plan.epochs * plan.train_steps,
        rows=run.sampling.rows_per_full_batch,
        step_flop=step_flop(run, stage, grid),
    )


def step_flop(run: Run, stage: StageConfig, grid: tuple[int, int], rows: int | None = None) -> int:
    """Return the floating-point operations of one training step of a stage.

    Forward and backward passes of the networks and losses; views and optimiser are left out.

    Args:
        run: The run.
        stage: One of its stages.
        grid: Longitudes and latitudes.
        rows: Of the batch; None for a full one.
    """
    alike = replace(stage, epochs=1, lr=1.0)  # a step's operations do not depend on these
    return _flop(_Step.of(run, alike, grid), rows or run.sampling.rows_per_full_batch)


def example_step(
    run: Run, stage: StageConfig, grid: tuple[int, int], rows: int
) -> tuple[StageModule, Views]:
    """Return what a training step works on: the stage's untrained module and a batch of noise."""
    step = _Step.of(run, stage, grid)
    return step.module(), step.batch(rows)


@dataclass(frozen=True)
class _Step:
    """All that the operations of a step depend on; many trials of a study share it."""

    stage: StageConfig
    variables: tuple[str, ...]
    grid: tuple[int, int]
    model: ModelConfig
    crop: tuple[int, int]
    contrastive: ContrastiveConfig

    @classmethod
    def of(cls, run: Run, stage: StageConfig, grid: tuple[int, int]) -> "_Step":
        training = run.training
        return cls(stage, run.data.variables, grid, run.model, run.views.crop, training.contrastive)

    def module(self) -> StageModule:
        model = build_model(model_kind(self.stage), self.variables, self.grid, self.model)
        return StageModule(self.stage, model, self.contrastive)

    def batch(self, rows: int) -> Views:
        variables = len(self.variables)
        view = torch.randn(rows, self.model.channels(variables), *self.crop)
        field = torch.randn(rows, variables, *self.grid)
        wanted = needs(self.stage, self.contrastive)
        pair = view if wanted.contrastive else None
        fields = Fields(field, field, field)
        label = torch.arange(rows) % 4 if wanted.labels else None
        return Views(pair, pair, pair, view if wanted.input else None, fields, label, label)


@cache
def _flop(step: _Step, rows: int) -> int:
    with FakeTensorMode():
        module, views = step.module(), step.batch(rows)
        with FlopCounterMode(display=False) as counter:
            module.train()(views, epoch=0, rows=rows)["loss"].backward()
    return int(counter.get_total_flops())


def step_bytes(run: Run, stage: StageConfig, grid: tuple[int, int], rows: int) -> int:
    """Return the memory that a training step of one worker takes at its peak, in bytes.

    Weights, their gradients and Adam's two moments, the batch's views, and all that the forward
    pass keeps for the backward pass. What kernels use in passing, and the process itself, come on
    top.

    Args:
        run: The run.
        stage: One of its stages.
        grid: Longitudes and latitudes.
        rows: Of this worker's part of the batch.
    """
    alike = replace(stage, epochs=1, lr=1.0)
    return _bytes(_Step.of(run, alike, grid), rows)


@cache
def _bytes(step: _Step, rows: int) -> int:
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        return tensor

    with FakeTensorMode():
        module, views = step.module(), step.batch(rows)
        weights = [*module.parameters(), *module.buffers()]
        for weight in weights:
            note(weight)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            terms = module.train()(views, epoch=0, rows=rows)
        fields = views.fields
        seen = (views.anchor, views.after, views.before, views.input)
        for tensor in (*seen, fields.day, fields.after, fields.before):
            if tensor is not None:
                note(tensor)
        trained = sum(w.numel() * w.element_size() for w in weights if w.requires_grad)
        del terms
    return sum(kept.values()) + 3 * trained
