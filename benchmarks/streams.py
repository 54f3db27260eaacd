"""Rows a second that reach training: Ray Data's builders against a DataLoader's workers."""

import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext

import ray
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.harness import Row, Setting
from benchmarks.sample import JOINT, Sample, sample
from sparta_ray.data.batches.builder import BatchRecipe
from sparta_ray.data.batches.compact import CompactBatch
from sparta_ray.data.batches.expand import expand, to_device
from sparta_ray.data.plan.schedule import Schedule
from sparta_ray.data.plan.splits import Split
from sparta_ray.data.preparation.recipe import DataConfig
from sparta_ray.on_ray.session import local_cpus, ray_session
from sparta_ray.on_ray.stream import stream
from sparta_ray.run.settings import Run

CPU = torch.device("cpu")
EPOCHS = 10
"""Of ours; the plain way gets through one in the same time."""


def measure(setting: Setting) -> Iterator[Row]:
    """Stream whole epochs to a process that takes batches as fast as they come.

    Time counts from the first batch on: starting workers is paid once in a stage, not once an
    epoch. What it takes to the first batch is a row of its own.
    """
    s = sample(setting)
    epochs = 1 if setting.quick else EPOCHS
    run = Run(data=DataConfig(store=s.store.path))
    with nullcontext() if ray.is_initialized() else ray_session(run):
        for workers in range(1, min(2, local_cpus()) + 1):
            name = f"{workers} worker{'s' if workers > 1 else ''}"
            plain_wait, plain = _rate(len(views[0]) for views in _loader(s, workers))
            wait, rate = _rate(len(batch["day"]) for batch in _stream(s, epochs, workers))
            yield Row(f"rows that arrive, {name}; plain: DataLoader", "rows/s", rate, plain,
                      rate / plain)  # fmt: skip
            yield Row(f"until the first batch, {name}; plain: DataLoader", "s", wait, plain_wait,
                      plain_wait / wait)  # fmt: skip
            _, rate = _rate(_expanded(s, batch) for batch in _stream(s, epochs, workers))
            yield Row(f"the same, expanded on arrival, {name}", "rows/s", rate, plain,
                      rate / plain)  # fmt: skip


def _rate(rows_of_batches: Iterable[int]) -> tuple[float, float]:
    """Return the seconds to the first batch, and the rows a second of those after it."""
    asked = time.perf_counter()
    batches = iter(rows_of_batches)
    next(batches)
    began = time.perf_counter()
    return began - asked, sum(batches) / (time.perf_counter() - began)


def _loader(s: Sample, workers: int) -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(s.plain_rows, batch_size=s.plan.rows_per_batch, num_workers=workers)


def _stream(s: Sample, epochs: int, workers: int) -> Iterator[CompactBatch]:
    recipe = BatchRecipe(
        store=s.store.path,
        splits={"train": Split(0, len(s.store))},
        sampling=s.sampling,
        views=s.views,
        mask=s.mask,
        seed=0,
        schedule=Schedule(epochs, len(s.plan), 0),
        needs=JOINT,
    )
    return stream(recipe, 0, rank=0, ranks=1, builders=workers)


def _expanded(s: Sample, batch: CompactBatch) -> int:
    views = expand(to_device(batch, CPU), s.operator)
    assert views.input is not None
    return len(views.input)
