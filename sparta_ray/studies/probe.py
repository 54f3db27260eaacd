"""A short measured probe: how fast this machine takes training steps of a run's own model."""

import time
from dataclasses import dataclass

import torch

from sparta_ray.run.estimate import example_step, step_flop
from sparta_ray.run.settings import Run
from sparta_ray.training.precision import resolve_precision
from sparta_ray.training.stages import StageConfig

_CPU = "one thread of the CPU"

_CPU_FLOP = 150e9
"""Operations of a step on a CPU, a second or two: one of a large model has fewer rows there."""

_STEPS = 3

_PATIENCE = 5.0
"""Seconds of timed steps after which no further one is begun."""


@dataclass(frozen=True)
class Probe:
    """What was timed, and how fast it went.

    Attributes:
        device: One thread of the CPU, or a GPU's name.
        precision: ``float32`` or ``bfloat16``.
        rows: Rows of a step.
        seconds: Of the fastest step.
        flop: Of a step.
    """

    device: str
    precision: str
    rows: int
    seconds: float
    flop: int

    @property
    def on_cpu(self) -> bool:
        """Whether no GPU was at hand."""
        return self.device == _CPU

    @property
    def rate(self) -> float:
        """Effective floating-point operations a second."""
        return self.flop / self.seconds


def probe(run: Run, stage: StageConfig, grid: tuple[int, int]) -> Probe:
    """Time a few steps, with their optimiser, of a stage of a run on this machine.

    Args:
        run: The run.
        stage: One of its stages.
        grid: Longitudes and latitudes.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = run.sampling.rows_per_full_batch
    if device.type == "cpu":
        rows = min(rows, max(4, int(rows * _CPU_FLOP / step_flop(run, stage, grid))))
        torch.set_num_threads(1)  # several wait for each other where anything else runs
    precision = resolve_precision(run.training.precision, device)
    with device:
        module, views = example_step(run, stage, grid, rows)
    module.train()
    optimiser = torch.optim.Adam(p for p in module.parameters() if p.requires_grad)
    seconds: list[float] = []
    while len(seconds) < 1 + _STEPS and sum(seconds[1:]) < _PATIENCE:  # the first warms up
        began = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = module(views, epoch=0, rows=rows)["loss"]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        loss.item()  # waits for the device
        seconds.append(time.perf_counter() - began)
    flop = step_flop(run, stage, grid, rows)
    return Probe(_name(device), precision, rows, min(seconds[1:]), flop)


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return _CPU
