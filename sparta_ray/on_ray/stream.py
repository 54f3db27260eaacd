"""Batches on Ray Data: scheduled batches become compact batches on CPU workers, in order.

A *unit* is one step of one rank: its batch is one block, so nothing is split, merged or reordered
on the way, and a stream can start at any unit.
"""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, Datasource, ReadTask
from ray.data.block import BlockMetadata
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sparta_ray.data.batches.builder import BatchBuilder, BatchRecipe
from sparta_ray.data.batches.compact import CompactBatch


def stream(
    recipe: BatchRecipe, start: int, rank: int, ranks: int, builders: int, same_node: bool = False
) -> Iterator[CompactBatch]:
    """Yield one rank's batches of a stage from position `start` on, in order.

    Args:
        recipe: The stage's batches.
        start: First position, as after a resume.
        rank: Whose rows.
        ranks: Number of ranks.
        builders: CPU actors that build for this rank, one CPU each.
        same_node: Whether they run on this process's node, in CPUs that it has reserved for them.

    Yields:
        Read-only arrays in shared memory, see `build_batch`.
    """
    total = len(recipe.schedule)
    if start >= total:
        return
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = None  # a batch is a block, however large
    context.execution_options.preserve_order = True
    context.custom_execution_callback_classes = [_Pause]
    if same_node:
        node = ray.get_runtime_context().get_node_id()
        context.scheduling_strategy = NodeAffinitySchedulingStrategy(node, soft=False)
    with ray.data.DataContext.current(context):
        # Asked for alike, reading and building are one operator. Reading by itself would start a
        # process for every unit that its CPUs, here none, allow at a time.
        cpus = 0 if same_node else 1
        units = ray.data.read_datasource(
            _Units(total - start), override_num_blocks=total - start, num_cpus=cpus
        )
        batches = units.map_batches(
            _BuilderActor,
            fn_constructor_args=(recipe, rank, ranks, start),
            batch_size=None,
            compute=ActorPoolStrategy(size=builders),
            num_cpus=cpus,
        )
        iterator = batches.iterator()
    # `Prefetcher` takes batches ahead, in one thread; Ray Data would with further threads.
    yield from iterator.iter_batches(batch_size=None, prefetch_batches=0)


class _Units(Datasource):  # type: ignore[misc]  # Ray is not typed here
    """The numbers from 0 on, each a block of its own, read where they are mapped.

    `ray.data.range` would do, but for the CPU that its reading takes.
    """

    def __init__(self, count: int):
        super().__init__()
        self._count = count

    def estimate_inmemory_data_size(self) -> int:
        return 8 * self._count

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list[ReadTask]:
        metadata = BlockMetadata(num_rows=1, size_bytes=8, input_files=None, exec_stats=None)
        return [ReadTask(partial(_unit, n), metadata) for n in range(self._count)]


def _unit(number: int) -> list[pa.Table]:
    return [pa.table({"id": [number]})]


class _Pause:
    """Lets Ray Data's scheduling loop rest between its steps.

    When batches are ready faster than they are trained on, that loop finds all its tasks ready and
    none it may take, and spins: half a core, and the interpreter lock, taken from training in the
    same process. Fifty steps a second still schedule thousands of batches.

    Ray calls it at four moments; its base class for that is not public.
    """

    def on_execution_step(self, executor: object) -> None:
        time.sleep(0.02)

    def _nothing(self, *_: object) -> None: ...

    before_execution_starts = after_execution_succeeds = after_execution_fails = _nothing


class _BuilderActor:
    """Builds the batch of each unit it is given, counted from the stream's start."""

    def __init__(self, recipe: BatchRecipe, rank: int, ranks: int, start: int):
        self._builder = BatchBuilder(recipe, rank, ranks)
        self._start = start

    def __call__(self, unit: CompactBatch) -> CompactBatch:
        (offset,) = unit["id"]
        return self._builder.build(self._start + int(offset))
