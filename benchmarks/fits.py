"""What it costs to begin training: workers, builders and their imports, once or for each stage."""

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import ray

from benchmarks.harness import Row, Setting
from sparta_ray.base.config import from_tree
from sparta_ray.data.preparation.facts import inspect_data
from sparta_ray.on_ray.prepare import prepare
from sparta_ray.on_ray.session import ray_session
from sparta_ray.on_ray.train import train
from sparta_ray.run.settings import Run
from sparta_ray.training.stages import StageConfig

TREE = {
    "sampling": {"rows_per_batch": 24, "min_soft_days": 20},
    "views": {"resize": [40, 24], "crop": [36, 20]},
    "model": {"width": 0.05, "embedding": 20, "projection": 8},
    "training": {
        "stages": [{"kind": "pretrain", "epochs": 1}, {"kind": "autoencoder", "epochs": 1}],
        "steps_per_epoch": 3,
    },
    "scaling": {"object_store_gb": 0.2},
}
"""A few steps of tiny networks: beginning is nearly all there is."""


def measure(setting: Setting) -> Iterator[Row]:
    """Train two stages in one run, and each in a run of its own."""
    data = {
        "last_day": "1979-12-31",
        "store": f"{setting.folder}/fits.zarr",
        "split": {"train": 0.5, "validation": 0.2},
    }
    run = from_tree(Run, TREE | {"folder": str(setting.folder), "data": data}, "benchmark")
    first, second = run.training.stages
    with nullcontext() if ray.is_initialized() else ray_session(run):
        prepare(inspect_data(run.data))
        _seconds(run, "warm-up", first)
        both = _seconds(run, "both", first, second)
        apart = _seconds(run, "first", first) + _seconds(run, "second", second)
    yield Row(
        "two stages of three steps in one fit(); plain: a fit() each",
        "s",
        both,
        apart,
        apart / both,
    )


def _seconds(run: Run, name: str, *stages: StageConfig) -> float:
    """Return the wall-clock time to train stages in a run of their own."""
    training = replace(run.training, stages=stages)
    began = time.perf_counter()
    train(replace(run, name=name, training=training))
    return time.perf_counter() - began
