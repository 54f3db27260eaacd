import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chisquare

from sparta_ray.base.config import from_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.data.plan.locality import LocalityConfig
from sparta_ray.data.plan.masking import MaskConfig
from sparta_ray.data.plan.sampling import (
    SamplingConfig,
    anchors,
    batches_per_epoch,
    check_split,
    make_plan,
    neighbour_probabilities,
)
from sparta_ray.data.plan.splits import Split
from sparta_ray.data.plan.views import ViewConfig

VIEWS, MASK = ViewConfig(), MaskConfig()
PUBLISHED_TRAIN = Split(0, 14_031)


def plan_of(split, sampling, seed=0, name="train", epoch=0, views=VIEWS, mask=MASK):
    return make_plan(split, sampling, views, mask, seed, name, epoch)


def samplings(negatives=None):
    return st.builds(
        lambda rows, negatives, reach, decay, hard, soft, locality: SamplingConfig(
            rows_per_batch=rows,
            negatives=negatives,
            max_neighbour_days=reach,
            neighbour_decay=decay,
            hard_days=(hard[0], hard[0] + hard[1]),
            min_soft_days=soft,
            locality=locality,
        ),
        rows=st.integers(4, 40),
        negatives=st.booleans() if negatives is None else st.just(negatives),
        reach=st.integers(1, 6),
        decay=st.floats(0, 2),
        hard=st.tuples(st.integers(1, 15), st.integers(0, 15)),
        soft=st.integers(1, 60),
        locality=st.none()
        | st.builds(
            LocalityConfig, block_steps=st.integers(1, 40), blocks_at_once=st.integers(1, 5)
        ),
    )


def splits():
    return st.builds(
        lambda start, length: Split(start, start + length),
        st.integers(0, 50),
        st.integers(1, 150),
    )


def fits(split, sampling):
    try:
        check_split(split, "train", sampling)
    except ConfigError:
        return False
    return True


@given(splits(), samplings(negatives=True), st.integers(0, 9))
def test_with_negatives_every_row_is_what_it_should_be(split, sampling, seed):
    assume(fits(split, sampling))
    plan = plan_of(split, sampling, seed)
    anchor, hard, soft = plan.day.reshape(-1, 3).T
    assert_array_equal(np.sort(anchor), anchors(split, sampling))
    distance = np.abs(hard - anchor)
    assert (distance >= sampling.hard_days[0]).all()
    assert (distance <= sampling.hard_days[1]).all()
    earlier = sampling.min_soft_days + (sampling.locality is None)
    assert ((soft - anchor >= sampling.min_soft_days) | (anchor - soft >= earlier)).all()


@given(splits(), samplings(negatives=False), st.integers(0, 9))
def test_without_negatives_every_anchor_is_one_row(split, sampling, seed):
    assume(fits(split, sampling))
    plan = plan_of(split, sampling, seed)
    assert_array_equal(np.sort(plan.day), anchors(split, sampling))
    assert len(plan) == batches_per_epoch(split, sampling)


@given(splits(), samplings(), st.integers(0, 9))
def test_every_day_and_its_neighbours_lie_inside_the_split(split, sampling, seed):
    assume(fits(split, sampling))
    plan = plan_of(split, sampling, seed)
    assert plan.delta.min() >= 1
    assert plan.delta.max() <= sampling.max_neighbour_days
    assert (plan.day - plan.delta).min() >= split.start
    assert (plan.day + plan.delta).max() < split.stop


@given(splits(), samplings())
def test_batches_take_every_row_once_and_whole_triples(split, sampling):
    assume(fits(split, sampling))
    plan = plan_of(split, sampling)
    slices = [plan.batch_rows(step) for step in range(len(plan))]
    rows = np.concatenate([np.arange(s.start, s.stop) for s in slices])
    assert_array_equal(rows, np.arange(len(plan.day)))
    assert len(plan) == batches_per_epoch(split, sampling)
    for rows in slices:
        assert 0 < rows.stop - rows.start <= sampling.rows_per_batch
        assert rows.start % sampling.rows_per_anchor == 0


@given(
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(0, 6), st.integers(0, 6)),
    ratio=st.tuples(st.floats(0, 0.5), st.floats(0.5, 0.99)),
)
def test_crops_and_ratios_stay_within_bounds(sizes, ratio):
    x, y, more_x, more_y = sizes
    views = ViewConfig(resize=(x + more_x, y + more_y), crop=(x, y), filter=1)
    sampling = SamplingConfig(negatives=False)
    plan = plan_of(Split(0, 60), sampling, views=views, mask=MaskConfig(ratio=ratio))
    assert plan.crop.shape == (*plan.mask_ratio.shape, 2) == (50, 3, 2)
    assert plan.crop.min() >= 0
    assert (plan.crop <= [more_x, more_y]).all()
    assert plan.mask_ratio.min() >= ratio[0]
    assert plan.mask_ratio.max() <= ratio[1]


def test_published_crops_use_every_offset():
    plan = plan_of(Split(0, 3_000), SamplingConfig())
    for view in range(3):
        offsets = np.unique(plan.crop[:, view], axis=0)
        assert len(offsets) == 17 * 9
        assert_array_equal(offsets.max(axis=0), [16, 8])


def test_crop_offsets_beyond_a_byte_do_not_wrap():
    views = ViewConfig(resize=(700, 72), crop=(144, 72))
    plan = plan_of(Split(0, 500), SamplingConfig(negatives=False), views=views)
    assert plan.crop[..., 0].max() > 255
    assert_allclose(plan.crop[..., 0].mean(), 278, atol=20)


def test_the_same_seed_and_epoch_give_the_same_plan():
    one, two = (plan_of(Split(5, 200), SamplingConfig(min_soft_days=50), 3) for _ in range(2))
    for name in ("day", "delta", "crop", "mask_ratio", "mask_seed"):
        assert_array_equal(getattr(one, name), getattr(two, name))


@pytest.mark.parametrize("other", [{"seed": 1}, {"epoch": 1}, {"name": "validation"}])
def test_another_seed_epoch_or_split_is_another_plan(other):
    sampling = SamplingConfig(min_soft_days=50, validation_order="shuffled")
    one, two = plan_of(Split(5, 200), sampling), plan_of(Split(5, 200), sampling, **other)
    for name in ("day", "delta", "crop", "mask_ratio", "mask_seed"):
        assert (getattr(one, name) != getattr(two, name)).mean() > 0.3


def test_no_mask_is_drawn_twice_in_an_epoch():
    plan = plan_of(Split(0, 3_000), SamplingConfig())
    assert len(np.unique(plan.mask_seed)) == plan.mask_seed.size


@pytest.fixture(scope="module")
def many_plans():
    """The same little split, 500 epochs: 56 anchors at positions 0 … 55."""
    sampling = SamplingConfig(max_neighbour_days=2, hard_days=(4, 9), min_soft_days=20)
    triples = [
        plan_of(Split(10, 70), sampling, epoch=epoch).day.reshape(-1, 3) for epoch in range(500)
    ]
    return np.concatenate(triples) - 12


@pytest.mark.parametrize("position", [0, 3, 27, 28, 50, 55])
def test_negatives_are_uniform_over_the_days_that_fit(many_plans, position):
    drawn = many_plans[many_plans[:, 0] == position]
    assert len(drawn) == 500
    every = np.arange(56)
    distance = np.abs(every - position)
    soft = (every - position >= 20) | (position - every > 20)  # one day farther into the past
    for column, allowed in ((1, (distance >= 4) & (distance <= 9)), (2, soft)):
        counts = np.bincount(drawn[:, column], minlength=56)
        assert counts[~allowed].sum() == 0
        assert chisquare(counts[allowed]).pvalue > 1e-3


@pytest.mark.parametrize("locality", [None, LocalityConfig(block_steps=20)])
@pytest.mark.parametrize("negatives", [True, False])
def test_validation_anchors_come_in_the_order_of_time(negatives, locality):
    sampling = SamplingConfig(negatives=negatives, min_soft_days=50, locality=locality)
    for epoch in (0, 1):
        plan = plan_of(Split(5, 200), sampling, name="validation", epoch=epoch)
        assert_array_equal(plan.day[:: sampling.rows_per_anchor], np.arange(10, 195))
    shuffled = replace(sampling, validation_order="shuffled")
    days = plan_of(Split(5, 200), shuffled, name="validation").day[:: sampling.rows_per_anchor]
    assert_array_equal(np.sort(days), np.arange(10, 195))
    assert (days != np.arange(10, 195)).mean() > 0.9


def test_anchors_are_shuffled(many_plans):
    first = many_plans[::56, 0]
    assert chisquare(np.bincount(first, minlength=56)).pvalue > 1e-3


def test_neighbour_distances_have_the_published_frequencies():
    expected = [0.24186, 0.21884, 0.19801, 0.17917, 0.16212]
    assert_allclose(neighbour_probabilities(SamplingConfig()), expected, atol=1e-5)
    plan = plan_of(PUBLISHED_TRAIN, SamplingConfig())
    frequency = np.bincount(plan.delta, minlength=6)[1:] / len(plan.delta)
    assert_allclose(frequency, expected, atol=0.01)
    for kind in range(3):  # anchor, hard and soft each draw their own
        share = np.bincount(plan.delta[kind::3], minlength=6)[1:] / 14_021
        assert_allclose(share, expected, atol=0.02)
    assert (plan.delta[0::3] != plan.delta[1::3]).mean() > 0.7


def test_ratios_are_uniform():
    ratio = plan_of(PUBLISHED_TRAIN, SamplingConfig()).mask_ratio
    counts, _ = np.histogram(ratio, bins=8, range=(0.5, 0.9))
    assert counts.sum() == ratio.size
    assert chisquare(counts).pvalue > 1e-3


def test_published_batches_keep_the_short_last_one():
    plan = plan_of(PUBLISHED_TRAIN, SamplingConfig())
    assert len(anchors(PUBLISHED_TRAIN, SamplingConfig())) == 14_021
    assert len(plan) == batches_per_epoch(PUBLISHED_TRAIN, SamplingConfig()) == 334
    sizes = [plan.batch_rows(step).stop - plan.batch_rows(step).start for step in range(334)]
    assert set(sizes[:-1]) == {126}
    assert sizes[-1] == 35 * 3
    without = SamplingConfig(negatives=False)
    assert (without.anchors_per_batch, batches_per_epoch(PUBLISHED_TRAIN, without)) == (128, 110)


@settings(max_examples=200)
@given(splits(), samplings())
def test_a_split_is_refused_exactly_if_its_plan_cannot_be_drawn(split, sampling):
    assume(len(split) >= 2 * sampling.max_neighbour_days + 2)
    if fits(split, sampling):
        plan_of(split, sampling)
    else:
        with pytest.raises(ValueError, match=r"low >= high|high <= 0"):
            plan_of(split, sampling)


def test_two_anchors_are_too_few_for_negatives():
    sampling = SamplingConfig(hard_days=(1, 5), min_soft_days=1)
    with pytest.raises(ConfigError, match="12 days, 2 of them with all their neighbours: too few"):
        check_split(Split(0, 12), "validation", sampling)
    check_split(Split(0, 13), "validation", sampling)


@given(splits(), samplings(negatives=True))
def test_the_suggested_distance_is_the_greatest_that_works(split, sampling):
    sampling = replace(sampling, hard_days=(1, 5), min_soft_days=1_000, locality=None)
    assume(len(split) >= 2 * sampling.max_neighbour_days + 3)
    with pytest.raises(ConfigError) as error:
        check_split(split, "validation", sampling)
    message = str(error.value)
    assert f"the validation split has {len(split)} days" in message
    assert "1000 days away for a soft negative" in message
    suggested = int(re.search(r"min_soft_days to at most (\d+)", message).group(1))
    check_split(split, "validation", replace(sampling, min_soft_days=suggested))
    with pytest.raises(ConfigError, match="soft negative"):
        check_split(split, "validation", replace(sampling, min_soft_days=suggested + 1))


def test_a_split_too_short_for_hard_negatives_or_neighbours():
    sampling = SamplingConfig(hard_days=(11, 40), min_soft_days=5)
    with pytest.raises(ConfigError, match="30 days: its middle anchor has no day 11 days away"):
        check_split(Split(100, 130), "train", sampling)
    check_split(Split(100, 132), "train", sampling)
    with pytest.raises(ConfigError, match="11 days: too few for neighbours ±5 days away"):
        check_split(Split(0, 11), "train", replace(sampling, negatives=False))
    check_split(Split(0, 12), "train", replace(sampling, negatives=False))


def test_without_neighbours_a_row_is_its_own():
    sampling = SamplingConfig(negatives=False, max_neighbour_days=0)
    plan = plan_of(Split(10, 31), sampling)
    assert_array_equal(np.sort(plan.day), np.arange(10, 31))
    assert_array_equal(plan.delta, np.zeros(21, dtype=np.int64))


@pytest.mark.parametrize("hard", [[0, 5], [9, 4], [-3, 2]])
def test_hard_days_must_ascend_from_above_zero(hard):
    with pytest.raises(ConfigError, match="two days, ascending, above 0"):
        from_tree(SamplingConfig, {"hard_days": hard}, "run")
