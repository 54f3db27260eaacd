"""Rows a second that reach training: Ray Data's builders against a DataLoader's workers."""

import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from itertools import islice

import ray
import torch
from torch.utils.data import DataLoader

from benchmarks.harness import Row, Setting
from benchmarks.sample import JOINT, Sample, sample
from sparta_ray.cluster import local_cpus, ray_session
from sparta_ray.data.batches import BatchRecipe, stream
from sparta_ray.data.compact import CompactBatch
from sparta_ray.data.expand import expand, to_device
from sparta_ray.data.schedule import Schedule
from sparta_ray.data.splits import Split
from sparta_ray.run import Run

CPU = torch.device("cpu")


def measure(setting: Setting) -> Iterator[Row]:
    """Stream with one worker and with two; then views for training, an epoch or more of them."""
    s = sample(setting)
    session = nullcontext() if ray.is_initialized() else ray_session(Run(data=_data(s)))
    with session:
        for workers in range(1, min(2, local_cpus()) + 1):
            ours = _rate(s, (len(batch["day"]) for batch in _stream(s, workers, setting)))
            plain = _rate(s, (len(views[0]) for views in _loader(s, workers)))
            yield Row(f"rows that arrive, {workers} worker{'s' * (workers > 1)}; plain: DataLoader",
                      "rows/s", ours, plain, ours / plain)  # fmt: skip
        ours = _rate(s, (_expanded(s, batch) for batch in _stream(s, 1, setting)))
        plain = _rate(s, (len(views[0]) for views in _loader(s, 1)))
        yield Row("views for training, 1 worker; plain: DataLoader", "rows/s", ours, plain,
                  ours / plain)  # fmt: skip
