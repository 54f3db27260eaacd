"""What it costs two ranks to compute as one: gathered projections, batch norms over both, DDP."""

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from benchmarks.harness import Row, Setting
from benchmarks.sample import Sample, sample
from benchmarks.steps import batch_of, model_of
from sparta_ray.base.shares import rank_rows
from sparta_ray.data.batches.compact import CompactBatch
from sparta_ray.data.batches.view_operator import ViewOperator
from sparta_ray.training.batch_losses import batch_losses
from sparta_ray.training.stage_module import StageModule
from sparta_ray.training.stages import ContrastiveConfig, PretrainStage

RANKS = 2


def measure(setting: Setting) -> Iterator[Row]:
    """Time a rank's half of a stage-1 batch joined with the other half, and alone, in turn.

    Alone it is another loss, of half as many rows: only the cost is compared. Times are of the
    wall clock, so each rank needs a core of its own.
    """
    s = sample(setting)
    with tempfile.TemporaryDirectory() as folder:
        spawn(  # type: ignore[no-untyped-call]  # torch does not type it
            _run_rank, (folder, s, batch_of(s, PretrainStage()), setting.few), nprocs=RANKS
        )
        joined, alone = torch.load(Path(folder) / "seconds.pt")
    ratio = statistics.median(b / a for a, b in zip(joined, alone, strict=True))
    yield Row(
        f"a rank's half of a stage-1 step, joined over {RANKS} gloo ranks; plain: that half alone",
        "s", statistics.median(joined), statistics.median(alone), ratio,
    )  # fmt: skip


def _run_rank(rank: int, folder: str, s: Sample, batch: CompactBatch, repeats: int) -> None:
    torch.set_num_threads(1)
    rows = len(batch["day"])
    mine = {name: part[rank_rows(slice(0, rows), rank, RANKS)] for name, part in batch.items()}
    module = StageModule(PretrainStage(), model_of(s), ContrastiveConfig()).train()
    operator = ViewOperator(s.store.grid, s.views)
    half = {**mine, "global_rows": 0 * mine["global_rows"] + len(mine["day"])}
    joined, alone = [], []
    for repeat in range(repeats + 1):
        alone.append(_seconds(module, operator, half))
        dist.init_process_group(
            "gloo", init_method=f"file://{folder}/{repeat}", rank=rank, world_size=RANKS
        )
        wrapped = DistributedDataParallel(module, broadcast_buffers=False)
        joined.append(_seconds(wrapped, operator, mine))
        dist.destroy_process_group()
    if rank == 0:
        torch.save((joined[1:], alone[1:]), Path(folder) / "seconds.pt")  # the first warms up


def _seconds(forward: torch.nn.Module, operator: ViewOperator, batch: CompactBatch) -> float:
    began = time.perf_counter()
    forward.zero_grad()
    batch_losses(forward, operator, batch, 0, 0, "float32")["loss"].backward()  # type: ignore[no-untyped-call]
    return time.perf_counter() - began
