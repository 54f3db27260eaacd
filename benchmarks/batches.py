"""Building batches: rows a second on one core, and the bytes of a row on its way to the device."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import default_collate

from benchmarks.harness import Row, Setting, side_by_side
from benchmarks.sample import JOINT, sample
from sparta_ray.data.batches.compact import BatchConfig, CompactBatch
from sparta_ray.data.batches.expand import expand, to_device


def measure(setting: Setting) -> Iterator[Row]:
    """Compare with rows whose views are made one by one and collated."""
    s = sample(setting)
    rows = s.plan.batch_rows(0)
    count = rows.stop - rows.start

    def plain() -> list[torch.Tensor]:
        collated: list[torch.Tensor] = default_collate([s.plain_rows[row] for row in range(count)])
        return collated

    built = side_by_side(lambda: s.batch(JOINT), plain, setting.repeats)
    yield Row(
        "batch building on one core, stage 2", "rows/s", count / built.ours, count / built.plain,
        built.ratio, "≥ 20", built.ratio >= 20,
    )  # fmt: skip
    cpu = torch.device("cpu")
    expanded = side_by_side(
        lambda: expand(to_device(s.batch(JOINT), cpu), s.operator), plain, setting.repeats
    )
    yield Row(
        "the same, expanded by the same core", "rows/s", count / expanded.ours,
        count / expanded.plain, expanded.ratio,
    )  # fmt: skip
    views = sum(part.nbytes for part in plain()) / count / 1e3
    for precision, most in (("float32", 145), ("float16", 82)):
        row = _bytes(s.batch(JOINT, BatchConfig(fields=precision))) / count / 1e3  # type: ignore[arg-type]
        yield Row(f"a row with {precision} fields", "kB", row, views, views / row,
                  f"≤ {most} kB", row <= most)  # fmt: skip


def _bytes(batch: CompactBatch) -> int:
    return int(np.sum([array.nbytes for array in batch.values()]))
