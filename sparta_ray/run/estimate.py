"""What a run will cost, counted on tensors that hold no values."""

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
    """What one stage of a run trains, and what that takes; validation is left out.

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
    alike = replace(stage, epochs=1, lr=1.0)  # of which a step's operations know nothing
    return _flop(_Step.of(run, alike, grid), rows or run.sampling.rows_per_full_batch)


def example_step(
    run: Run, stage: StageConfig, grid: tuple[int, int], rows: int
) -> tuple[StageModule, Views]:
    """Return what a training step works on: the stage's module, fresh, and a batch of noise."""
    step = _Step.of(run, stage, grid)
    return step.module(), step.batch(rows)


@dataclass(frozen=True)
class _Step:
    """What the operations of a step depend on; many trials of a study have the same."""

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
