from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from sparta_ray.base.shares import rank_rows
from sparta_ray.data.batches.builder import BatchBuilder, BatchRecipe
from sparta_ray.data.batches.compact import Needs
from sparta_ray.data.plan.masking import MaskConfig
from sparta_ray.data.plan.sampling import SamplingConfig
from sparta_ray.data.plan.schedule import Schedule
from sparta_ray.data.plan.splits import Split
from sparta_ray.data.plan.views import ViewConfig


@given(st.integers(0, 90), st.integers(0, 200), st.integers(1, 9))
def test_ranks_share_a_batch_without_gaps_and_evenly(start, count, ranks):
    parts = [rank_rows(slice(start, start + count), rank, ranks) for rank in range(ranks)]
    assert parts[0].start == start
    assert parts[-1].stop == start + count
    assert all(a.stop == b.start for a, b in pairwise(parts))
    sizes = [part.stop - part.start for part in parts]
    assert max(sizes) - min(sizes) <= 1


@pytest.fixture(scope="module")
def recipe(make_store):
    return BatchRecipe(
        store=make_store(days=40, grid=(8, 5)),
        splits={"train": Split(0, 24), "validation": Split(24, 40)},
        sampling=SamplingConfig(rows_per_batch=5, negatives=False),
        views=ViewConfig(resize=(11, 9), crop=(9, 7), filter=3),
        mask=MaskConfig(),
        seed=4,
        schedule=Schedule(epochs=2, train_steps=3, validation_steps=2),
        needs=Needs(contrastive=True, input=True),
    )


def test_the_ranks_batches_are_the_parts_of_the_whole_one(recipe):
    for position in (0, 2, 4, 7):  # a full batch, a short one of 4, a last one of 1, epoch 1
        whole = BatchBuilder(recipe).build(position)
        parts = [BatchBuilder(recipe, rank, 3).build(position) for rank in range(3)]
        for name, values in whole.items():
            assert_array_equal(np.concatenate([part[name] for part in parts]), values)


def test_rows_carry_their_position_and_the_global_count(recipe):
    batch = BatchBuilder(recipe, 1, 2).build(2)
    assert len(batch["day"]) == 2
    assert_array_equal(batch["position"], [2, 2])
    assert_array_equal(batch["global_rows"], [4, 4])


def test_a_batch_does_not_depend_on_those_built_before(recipe):
    builder = BatchBuilder(recipe)
    for position in range(9):
        builder.build(position)
    again, fresh = builder.build(1), BatchBuilder(recipe).build(1)
    for name, values in fresh.items():
        assert_array_equal(again[name], values)


def test_an_epoch_of_another_length_goes_on_where_the_one_before_stopped(recipe):
    # plans of 3 batches of the 14 anchors; epochs of 4 batches, then validation's 2
    longer = replace(recipe, schedule=Schedule(2, 4, 2, plan_steps=3))
    ours, plain = BatchBuilder(longer), BatchBuilder(recipe)
    for position, same in {0: 0, 2: 2, 3: 5, 4: 3, 6: 6, 7: 7, 10: 8}.items():
        expected = plain.build(same)
        assert_array_equal(ours.days(position), plain.days(same))
        for name, values in ours.build(position).items():
            assert_array_equal(values, position if name == "position" else expected[name])


def test_epochs_and_splits_differ(recipe):
    builder = BatchBuilder(recipe)
    assert not np.array_equal(builder.build(0)["day"], builder.build(5)["day"])
    assert not np.array_equal(
        builder.build(0)["neighbour_masks"], builder.build(3)["neighbour_masks"]
    )
