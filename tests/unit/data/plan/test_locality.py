"""What locality adds to a plan; that it is a plan like any other is tested with the plan."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.stats import chisquare

from sparta_ray.base.config import from_tree, load, to_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.data.plan.locality import LocalityConfig, block_of, blocks_apart, longest_block
from sparta_ray.data.plan.masking import MaskConfig
from sparta_ray.data.plan.sampling import SamplingConfig, anchors, check_split, make_plan
from sparta_ray.data.plan.splits import Split
from sparta_ray.data.plan.views import ViewConfig
from sparta_ray.run.settings import Run

SPLIT = Split(30, 430)  # anchors 35 … 424: 21 blocks of 20, the first and the last short
LOCAL = SamplingConfig(
    rows_per_batch=48,
    min_soft_days=100,
    locality=LocalityConfig(block_steps=20, blocks_at_once=3),
)


def plan_of(epoch=0, sampling=LOCAL, split=SPLIT):
    return make_plan(split, sampling, ViewConfig(), MaskConfig(), 0, "train", epoch)


def blocks_of(plan):
    """Return the block of each anchor, hard and soft negative, in the order they come."""
    return plan.day.reshape(-1, 3).T // 20 - 35 // 20


def test_blocks_begin_at_multiples_whatever_the_split():
    assert_array_equal(block_of(np.array([8, 9, 10, 19, 20]), 10), [0, 0, 1, 1, 2])


def test_how_far_apart_blocks_must_be():
    # The nearest days of blocks 0 … 9 and 20 … 29 are 9 and 20.
    assert [blocks_apart(10, days) for days in (1, 2, 11, 12)] == [1, 2, 2, 3]


@given(st.integers(1, 12), st.integers(1, 40))
def test_blocks_that_far_apart_are_and_nearer_ones_are_not(steps, days):
    apart = blocks_apart(steps, days)
    assert apart * steps - (steps - 1) >= days
    assert apart == 1 or (apart - 1) * steps - (steps - 1) < days


def test_never_more_blocks_are_open_than_may_be_at_once():
    (anchor, _, _) = blocks_of(plan_of())
    place = [np.flatnonzero(anchor == block) for block in range(21)]
    still_open = np.zeros(len(anchor) + 1, dtype=int)
    for places in place:
        still_open[places[0]] += 1
        still_open[places[-1] + 1] -= 1
    assert still_open.cumsum().max() == 3
    assert (np.diff(anchor) != 0).mean() > 0.5  # shuffled together, not one after another


def test_the_soft_negatives_of_a_block_come_from_one_block_and_each_epoch_from_another():
    partners = []
    for epoch in range(200):
        anchor, _, soft = blocks_of(plan_of(epoch))
        pairs = np.unique(np.stack([anchor, soft]), axis=1)
        assert_array_equal(pairs[0], np.arange(21))
        partners.append(pairs[1])
    of_block_ten = np.bincount(np.array(partners)[:, 10], minlength=21)
    far = np.abs(np.arange(21) - 10) >= 6  # 6 blocks of 20 hold nothing nearer than 101 days
    assert of_block_ten[~far].sum() == 0
    assert chisquare(of_block_ten[far]).pvalue > 1e-3


def test_a_batch_touches_few_blocks_and_a_global_shuffle_most():
    local = replace(LOCAL, locality=LocalityConfig(block_steps=50, blocks_at_once=1))
    touched = {}
    for name, sampling in (("local", local), ("global", replace(LOCAL, locality=None))):
        plan = plan_of(sampling=sampling, split=Split(30, 2_030))
        touched[name] = [_weeks(plan, step) for step in range(len(plan))]
    # 16 anchors lie in two blocks of 50 days, of three where one is short; with 45 days to each
    # side, and a block with 5 days to each side for the soft negatives, that is 200 days a block.
    assert max(touched["local"]) <= 3 * (200 // 7 + 2)
    assert np.mean(touched["local"]) < 0.5 * np.mean(touched["global"])


def _weeks(plan, step):
    """Return how many weeks the days of a batch and their neighbours lie in."""
    rows = plan.batch_rows(step)
    day, delta = plan.day[rows], plan.delta[rows]
    return len(np.unique(np.concatenate([day, day + delta, day - delta]) // 7))


def test_one_group_of_all_blocks_mixes_the_whole_split():
    together = replace(LOCAL, locality=LocalityConfig(block_steps=20, blocks_at_once=99))
    first = [plan_of(epoch, together).day[0] for epoch in range(400)]
    counts, _ = np.histogram(first, bins=10, range=(35, 425))
    assert chisquare(counts).pvalue > 1e-3


def test_blocks_too_long_for_soft_negatives_and_the_length_that_fits():
    def local(steps):
        return replace(LOCAL, locality=LocalityConfig(block_steps=steps))

    with pytest.raises(ConfigError, match=r"middle block of 150 has no other 100 days") as error:
        check_split(SPLIT, "train", local(150))
    fits = int(re.search(r"block_steps to (\d+)", str(error.value)).group(1))
    check_split(SPLIT, "train", local(fits))
    for steps in range(fits + 1, 150):
        with pytest.raises(ConfigError, match="the train split has 400 days"):
            check_split(SPLIT, "train", local(steps))
    check_split(SPLIT, "train", replace(local(150), negatives=False))
    assert longest_block(anchors(SPLIT, LOCAL), 10**9, 100) == fits


def test_it_is_a_section_that_may_be_absent():
    assert SamplingConfig().locality is None
    assert from_tree(SamplingConfig, to_tree(LOCAL), "run") == LOCAL
    run = load(Run, None, ["sampling.locality={block_steps: 30}"])
    assert run.sampling.locality == LocalityConfig(block_steps=30, blocks_at_once=16)
    with pytest.raises(ConfigError, match=r"block_step: unknown key; did you mean block_steps"):
        load(Run, None, ["sampling.locality={block_step: 30}"])
