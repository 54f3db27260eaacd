"""Whether training fits into memory, counted before anything is started."""

from dataclasses import dataclass

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.shares import rank_rows
from sparta_ray.run.estimate import step_bytes
from sparta_ray.run.settings import Run
from sparta_ray.training.stages import StageConfig


@dataclass(frozen=True)
class Memory:
    """The memory that workers train in.

    Attributes:
        bytes: How much there is.
        workers: How many workers share it.
        name: What it is called in errors, such as ``this machine``.
    """

    bytes: float
    workers: int
    name: str


def check_memory(run: Run, grid: tuple[int, int], memory: Memory) -> None:
    """Refuse a training whose largest step cannot fit.

    The count is what a step needs at least: weights, gradients, the optimiser's state, and what the
    forward pass keeps for the backward pass. What a training step really takes is up to twice as
    much, so a run that passes may still be too large.

    Args:
        run: The run.
        grid: Longitudes and latitudes of its data.
        memory: Where it is to be trained.

    Raises:
        ConfigError: Names the stage, what it needs, what there is, and which settings to lower.
    """
    for stage in run.training.stages:
        needed = memory.workers * worker_bytes(run, stage, grid)
        if needed > memory.bytes:
            who = f"{memory.workers} workers" if memory.workers > 1 else "a worker"
            raise ConfigError(
                f"stage {stage.kind} needs at least {needed / 1e9:,.1f} GB of memory for {who} "
                f"with {_rows(run)} rows each, but {memory.name} has "
                f"{memory.bytes / 1e9:,.1f} GB; lower sampling.rows_per_batch or the sizes under "
                "model and views"
            )


def worker_bytes(run: Run, stage: StageConfig, grid: tuple[int, int]) -> int:
    """Return the memory that a worker needs at least for a step of a stage, in bytes."""
    return step_bytes(run, stage, grid, _rows(run))


def _rows(run: Run) -> int:
    """Return the most rows of a batch that one worker has."""
    workers = run.scaling.fewest_workers
    rows = rank_rows(slice(0, run.sampling.rows_per_full_batch), workers - 1, workers)
    return int(rows.stop - rows.start)
