"""What a model took to train: parameters, optimiser steps and floating-point operations."""

from dataclasses import dataclass

from sparta_ray.models.sparta import parameter_count
from sparta_ray.run.estimate import step_flop
from sparta_ray.run.settings import Run, schedule
from sparta_ray.training.model_card import load_model
from sparta_ray.training.stages import ModelKind, model_kind


@dataclass(frozen=True)
class Cost:
    """The size and training of one model.

    Attributes:
        parameters: Of all its parts.
        steps: Optimiser steps of its stages.
        flop: Floating-point operations of these steps, without validation.
    """

    parameters: int
    steps: int
    flop: float

    @property
    def words(self) -> str:
        """The cost in a few words, such as ``16.6 M parameters, 4 200 steps, 1.9 PFLOP``."""
        steps = f"{self.steps:,}".replace(",", "\u2009")
        parameters = f"{self.parameters / 1e6:.3g} M parameters"
        return f"{parameters}, {steps} steps, {self.flop / 1e15:.2g} PFLOP"


def training_cost(run: Run, kind: ModelKind, days: int, grid: tuple[int, int]) -> Cost:
    """Return what training one of a run's finished models took.

    Args:
        run: The run.
        kind: Which of its models.
        days: Days of its data.
        grid: Longitudes and latitudes.
    """
    _, model = load_model(f"{run.path}/models/{kind}")
    steps, flop = 0, 0.0
    for stage in run.training.stages:
        if model_kind(stage) == kind:
            plan = schedule(run, stage, days)
            taken = plan.epochs * plan.train_steps
            steps += taken
            flop += taken * step_flop(run, stage, grid)
    return Cost(parameter_count(model), steps, flop)
