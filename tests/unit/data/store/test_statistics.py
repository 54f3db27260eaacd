import json
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from sparta_ray.data.store.statistics import Statistics

NAMES = ("count", "mean", "squares", "minimum", "maximum")


def merged(parts):
    return reduce(Statistics.merge, parts, Statistics.zero(parts[0].mean.size))


def assert_same(one, two):
    for name in NAMES:
        assert_allclose(getattr(one, name), getattr(two, name), rtol=1e-9, atol=1e-6)


@st.composite
def fields_and_cuts(draw):
    days = draw(st.integers(1, 12))
    values = st.floats(-1e3, 1e3, width=32)
    fields = draw(arrays(np.float32, (days, 3, 2, 5), elements=values))
    cuts = sorted(draw(st.lists(st.integers(0, days), max_size=4)))
    order = draw(st.permutations(range(len(cuts) + 1)))
    return fields, cuts, order


@given(fields_and_cuts())
def test_parts_merge_to_the_whole_in_any_order_and_with_empty_ones(case):
    fields, cuts, order = case
    parts = [Statistics.of(part) for part in np.split(fields, cuts)]
    whole = Statistics.of(fields)
    assert_same(merged(parts), whole)
    assert_same(merged([parts[index] for index in order]), whole)


@given(fields_and_cuts())
def test_they_are_those_of_numpy(case):
    fields = case[0].astype(np.float64)
    statistics = Statistics.of(case[0])
    axes = (0, 2, 3)
    assert (statistics.count == fields[:, 0].size).all()
    assert_allclose(statistics.mean, fields.mean(axes), atol=1e-9)
    assert_allclose(statistics.std, fields.std(axes, ddof=1), atol=1e-6)
    assert_array_equal(statistics.minimum, fields.min(axes))
    assert_array_equal(statistics.maximum, fields.max(axes))


def test_small_spread_around_a_large_mean_survives():
    rng = np.random.default_rng(0)
    fields = (14_000 + 0.5 * rng.standard_normal((50, 1, 8, 5))).astype(np.float32)
    parts = [Statistics.of(part) for part in np.split(fields, 10)]
    assert_allclose(merged(parts).std, fields.astype(np.float64).std(ddof=1), rtol=1e-9)


def test_two_days_by_hand():
    fields = np.array([[1, 3], [5, 7]], dtype=np.float32).reshape(2, 1, 2, 1)
    statistics = Statistics.of(fields)
    assert (statistics.count, statistics.mean, statistics.squares) == (4, [4.0], [20.0])
    assert_allclose(statistics.std, np.sqrt(20 / 3))


def test_json_restores_them_exactly():
    fields = np.random.default_rng(1).standard_normal((7, 3, 4, 5)).astype(np.float32)
    statistics = Statistics.of(fields)
    again = Statistics.from_json(json.loads(json.dumps(statistics.to_json())))
    for name in NAMES:
        assert_array_equal(getattr(again, name), getattr(statistics, name))


@pytest.mark.parametrize("first", [True, False])
def test_nothing_merged_with_something_is_that(first):
    some = Statistics.of(np.ones((2, 3, 2, 5), dtype=np.float32))
    nothing = Statistics.of(np.ones((0, 3, 2, 5), dtype=np.float32))
    assert_same(nothing.merge(some) if first else some.merge(nothing), some)
    assert (nothing.merge(nothing).count == 0).all()


def test_missing_values_are_left_out_of_their_own_variable():
    fields = np.array([[[1, 3], [2, 2]], [[5, np.nan], [4, 7]]], dtype=np.float32)[..., None]
    fields = np.concatenate([fields, np.full_like(fields[:, :1], np.nan)], axis=1)
    statistics = Statistics.of(fields)
    assert statistics.count.tolist() == [3, 4, 0]
    assert_allclose(statistics.mean, [3, 3.75, 0])
    assert_allclose(statistics.std[:2], [2, np.std([2, 2, 4, 7], ddof=1)])
    assert statistics.minimum[:2].tolist() == [1, 2]
    assert statistics.maximum[:2].tolist() == [5, 7]
    assert statistics.std[2] == 0
