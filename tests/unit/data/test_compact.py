from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparta_ray.data.compact import Needs, build_batch
from sparta_ray.data.masking import MaskConfig, draw_mask
from sparta_ray.data.sampling import SamplingConfig, make_plan
from sparta_ray.data.splits import Split
from sparta_ray.data.store import Store
from sparta_ray.data.views import ViewConfig
from sparta_ray.variables import PUBLISHED

VIEWS = ViewConfig(resize=(11, 9), crop=(9, 7), filter=3)
SAMPLING = SamplingConfig(hard_days=(3, 9), min_soft_days=8, rows_per_batch=7)


@pytest.fixture(scope="module")
def tiny(make_store):
    """A store of 40 days, 3 variables, 8 x 5 points, and one epoch of its plan."""
    store = Store(make_store(days=40, grid=(8, 5)))
    plan = make_plan(Split(0, 40), SAMPLING, VIEWS, MaskConfig(), 3, "train", 0)
    return SimpleNamespace(store=store, plan=plan)


def test_values_are_the_plans_days_standardised(tiny, weather):
    rows = slice(6, 11)
    needs = Needs(contrastive=True, input=True)
    batch = build_batch(tiny.store, tiny.plan, rows, VIEWS.crop, needs)
    fields = weather(40, tiny.store.variables, (8, 5)).astype(np.float64)
    training = fields[:24]
    mean = training.mean(axis=(0, 2, 3))[:, None, None]
    std = training.std(axis=(0, 2, 3), ddof=1)[:, None, None]
    day, delta = tiny.plan.day[rows], tiny.plan.delta[rows]
    for name, days in (("day", day), ("after", day + delta), ("before", day - delta)):
        assert batch[name].dtype == np.float32
        assert batch[name].shape == (5, 3, 8, 5)
        assert_allclose(batch[name], (fields[days] - mean) / std, atol=2e-4)
    assert_array_equal(batch["crop"], tiny.plan.crop[rows])


def test_masks_are_drawn_from_the_plans_seeds_and_ratios(tiny):
    rows = slice(30, 32)
    needs = Needs(contrastive=True, input=True)
    batch = build_batch(tiny.store, tiny.plan, rows, VIEWS.crop, needs)
    values = 3 * 9 * 7
    for row in range(2):
        masks = [*batch["neighbour_masks"][row], batch["input_mask"][row]]
        for view, mask in enumerate(masks):
            seed, ratio = tiny.plan.mask_seed[30 + row, view], tiny.plan.mask_ratio[30 + row, view]
            assert_array_equal(mask, draw_mask(int(seed), float(ratio), values))


@pytest.mark.parametrize(
    ("needs", "names"),
    [
        (Needs(contrastive=True, input=False), {"after", "before", "crop", "neighbour_masks"}),
        (Needs(contrastive=False, input=True), {"input_mask"}),
        (Needs(contrastive=False, input=False), set()),
    ],
)
def test_only_what_is_needed_is_filled(tiny, needs, names):
    batch = build_batch(tiny.store, tiny.plan, slice(0, 4), VIEWS.crop, needs)
    assert batch.keys() == names | {"day"}


def test_a_row_is_the_same_in_any_batch(tiny):
    needs = Needs(contrastive=True, input=True)
    wide = build_batch(tiny.store, tiny.plan, slice(0, 9), VIEWS.crop, needs)
    narrow = build_batch(tiny.store, tiny.plan, slice(5, 6), VIEWS.crop, needs)
    for name, values in narrow.items():
        assert_array_equal(values[0], wide[name][5])


def test_a_published_row_takes_at_most_145_kilobytes(make_store):
    store = Store(make_store(days=40, grid=(64, 32), labels=PUBLISHED))
    views = ViewConfig()
    plan = make_plan(Split(0, 40), SAMPLING, views, MaskConfig(), 0, "train", 0)
    needs = Needs(contrastive=True, input=True)
    batch = build_batch(store, plan, slice(0, 6), views.crop, needs)
    size = sum(array.nbytes for array in batch.values()) / 6
    assert size == 3 * 5 * 64 * 32 * 4 + 3 * 5 * 144 * 72 / 8 + 12
    assert size <= 145_000
