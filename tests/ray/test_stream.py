from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sparta_ray.data.batches.builder import BatchBuilder, BatchRecipe
from sparta_ray.data.preparation.facts import inspect_data
from sparta_ray.data.preparation.streaming import stream_block
from sparta_ray.data.store.block_cache import CacheConfig
from sparta_ray.data.store.store import Store
from sparta_ray.on_ray.prepare import prepare
from sparta_ray.on_ray.stream import stream
from sparta_ray.run.settings import Run, schedule, splits
from sparta_ray.training.stages import needs


@pytest.fixture
def recipe(tiny: Run) -> BatchRecipe:
    stage = tiny.training.stages[1]
    days = 365
    return BatchRecipe(
        store=tiny.data.store,
        splits=splits(tiny, days),
        sampling=tiny.sampling,
        views=tiny.views,
        mask=tiny.mask,
        seed=11,
        schedule=schedule(tiny, stage, days),
        needs=needs(stage, tiny.training.contrastive),
    )


def assert_same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_stream_is_every_batch_in_order_and_can_start_anywhere(recipe: BatchRecipe) -> None:
    builder = BatchBuilder(recipe)
    for start in (0, len(recipe.schedule) // 2 + 1):
        positions = range(start, len(recipe.schedule))
        batches = list(stream(recipe, start, rank=0, ranks=1, builders=2))
        assert len(batches) == len(positions)
        for position, batch in zip(positions, batches, strict=True):
            assert_same(batch, builder.build(position))


def test_ranks_share_each_batch_without_overlap_or_loss(recipe: BatchRecipe) -> None:
    whole = BatchBuilder(recipe)
    start = len(recipe.schedule) - 6
    ranks = [list(stream(recipe, start, rank, ranks=3, builders=1)) for rank in range(3)]
    for offset, parts in enumerate(zip(*ranks, strict=True)):
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        assert_same(joined, whole.build(start + offset))


def test_stream_past_the_end_is_empty(recipe: BatchRecipe) -> None:
    assert list(stream(recipe, len(recipe.schedule), 0, 1, 1)) == []


def test_streaming_from_the_source_gives_the_prepared_batches(
    recipe: BatchRecipe, tiny: Run, tmp_path: Path
) -> None:
    cache = CacheConfig(folder=str(tmp_path / "cache"))
    data = replace(tiny.data, mode="stream", cache=cache, store=str(tmp_path / "store.zarr"))
    assert prepare(inspect_data(data)).fingerprint == Store(tiny.data.store).fingerprint
    assert not (tmp_path / "store.zarr" / "fields").exists()
    builder, start = BatchBuilder(recipe), len(recipe.schedule) - 6
    streamed = replace(recipe, store=data.store, cache=cache)
    batches = list(stream(streamed, start, rank=0, ranks=1, builders=2))
    assert len(batches) == 6
    for position, batch in enumerate(batches, start):
        assert_same(batch, builder.build(position))
    blocks = -(-365 // stream_block(prepare(inspect_data(data)).provenance["read_chunk"]))
    assert len(list((tmp_path / "cache").glob("*/*.npy"))) <= blocks
