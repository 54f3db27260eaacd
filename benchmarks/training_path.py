"""The training path against the plain way, as ratios measured side by side in one process.

The plain way is what the method's description says, with torch's own operators: resize with
`interpolate`, crop, `avg_pool2d`, `rand` masks, a loop over rows, and NT-Xent pair by pair.

    python benchmarks/training_path.py
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sparta_ray.data.compact import CompactBatch, Needs, build_batch
from sparta_ray.data.expand import expand, to_device
from sparta_ray.data.masking import MaskConfig
from sparta_ray.data.recipe import DataConfig, finish, read_recipe, write_shard
from sparta_ray.data.sampling import Plan, SamplingConfig, make_plan
from sparta_ray.data.splits import Split
from sparta_ray.data.store import Store, write_template
from sparta_ray.data.views import ViewConfig, ViewOperator
from sparta_ray.losses.contrastive import nt_xent

REPEATS = 5
NEEDS = Needs(contrastive=True, input=True)
VIEWS, SAMPLING = ViewConfig(), SamplingConfig(min_soft_days=200)


def prepared_sample(folder: str) -> Store:
    """Return the bundled sample as a store, made without Ray."""
    recipe = read_recipe(DataConfig(store=f"{folder}/sample.zarr"))
    write_template(recipe.config.store, recipe.layout)
    finish(recipe, {shard: write_shard(recipe, shard) for shard in range(recipe.layout.shards)})
    return Store(recipe.config.store)


def plain_view(field_VXY: Tensor, crop: tuple[int, int] | None, ratio: float | None) -> Tensor:
    """Resize, crop, smooth and mask one field, step by step."""
    size = VIEWS.crop if crop is None else VIEWS.resize
    view = functional.interpolate(field_VXY[None], size, mode="bicubic", align_corners=False)
    if crop is not None:
        view = view[:, :, crop[0] : crop[0] + VIEWS.crop[0], crop[1] : crop[1] + VIEWS.crop[1]]
        view = functional.avg_pool2d(view, VIEWS.filter, stride=1, padding=VIEWS.filter // 2)
    if ratio is not None:
        view = torch.where(torch.rand_like(view) > ratio, view, 0.0)
    return view[0]


def plain_rows(fields: Tensor, plan: Plan, rows: slice) -> list[list[Tensor]]:
    """Build the views of some rows, one row at a time, and with them everything that moves."""
    batch = []
    for row in range(rows.start, rows.stop):
        day, delta = int(plan.day[row]), int(plan.delta[row])
        crops = [(int(x), int(y)) for x, y in plan.crop[row]]
        ratios = plan.mask_ratio[row].tolist()
        trio = fields[day], fields[day + delta], fields[day - delta]
        batch.append(
            [
                plain_view(trio[0], crops[0], None),
                plain_view(trio[1], crops[1], ratios[0]),
                plain_view(trio[2], crops[2], ratios[1]),
                plain_view(trio[0], None, ratios[2]),
                *trio,
            ]
        )
    return batch


def plain_nt_xent(z_a_NP: Tensor, z_b_NP: Tensor, temperature: float) -> Tensor:
    """NT-Xent as it is written: a loop over the 2N rows (Eq. 4)."""
    z = functional.normalize(torch.cat([z_a_NP, z_b_NP]), dim=1)
    n, losses = len(z_a_NP), []
    for i in range(2 * n):
        similarity = (z[i] * z).sum(dim=1) / temperature
        others = torch.arange(2 * n) != i
        losses.append(similarity[others].logsumexp(0) - similarity[(i + n) % (2 * n)])
    return torch.stack(losses).mean()


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def compare(name: str, plain: Callable[[], object], ours: Callable[[], object]) -> None:
    """Time both in turn and print the median of the paired ratios."""
    plain(), ours()
    pairs = [(seconds(plain), seconds(ours)) for _ in range(REPEATS)]
    ratio = statistics.median(a / b for a, b in pairs)
    slow, fast = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{name:46} {slow * 1e3:9.1f} ms {fast * 1e3:9.1f} ms {ratio:8.1f}x")


def size_of(batch: CompactBatch) -> float:
    return sum(array.nbytes for array in batch.values()) / len(batch["day"])


def main() -> None:
    import tempfile

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        store = prepared_sample(folder)
        split = Split(0, len(store))
        plan = make_plan(split, SAMPLING, VIEWS, MaskConfig(), seed=0, split_name="train", epoch=0)
        rows = plan.batch_rows(0)
        fields = torch.from_numpy(store.read_standardised(np.arange(len(store))))
        operator = ViewOperator(store.grid, VIEWS)
        batch = build_batch(store, plan, rows, VIEWS.crop, NEEDS)
        z = torch.randn(2, 126, 128, requires_grad=True)

        print(f"CPU time of one thread, median of {REPEATS}; 126 rows of stage 2")
        print(f"{'':46} {'plain':>12} {'here':>12} {'ratio':>9}")
        compare(
            "plan row -> what a CPU worker sends",
            lambda: plain_rows(fields, plan, rows),
            lambda: build_batch(store, plan, rows, VIEWS.crop, NEEDS),
        )
        compare(
            "the same with expansion on the device",
            lambda: plain_rows(fields, plan, rows),
            lambda: expand(
                to_device(build_batch(store, plan, rows, VIEWS.crop, NEEDS), torch.device("cpu")),
                operator,
            ),
        )
        compare(
            "NT-Xent of 2 x 126, forward and backward",
            lambda: plain_nt_xent(z[0], z[1], 0.3).backward(),
            lambda: nt_xent(z[0], z[1], 0.3).backward(),
        )
        view_bytes = 4 * len(store.variables) * (4 * np.prod(VIEWS.crop) + 3 * np.prod(store.grid))
        print(f"bytes a row: {view_bytes:,.0f} expanded, {size_of(batch):,.0f} compact")


if __name__ == "__main__":
    main()
