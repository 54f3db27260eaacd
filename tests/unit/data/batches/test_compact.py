from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparta_ray.base.variables import PUBLISHED
from sparta_ray.data.batches.compact import BatchConfig, Needs, build_batch
from sparta_ray.data.plan.mask_shapes import Block, Points
from sparta_ray.data.plan.masking import MaskConfig, draw_mask
from sparta_ray.data.plan.sampling import SamplingConfig, make_plan
from sparta_ray.data.plan.splits import Split
from sparta_ray.data.plan.views import ViewConfig
from sparta_ray.data.store.store import Store

VIEWS = ViewConfig(resize=(11, 9), crop=(9, 7), filter=3)
MASK, BOTH = MaskConfig(), Needs(contrastive=True, input=True)
SAMPLING = SamplingConfig(hard_days=(3, 9), min_soft_days=8, rows_per_batch=7)


@pytest.fixture(scope="module")
def tiny(make_store):
    """A store of 40 days, 3 variables, 8 x 5 points, and one epoch of its plan."""
    store = Store(make_store(days=40, grid=(8, 5)))
    plan = make_plan(Split(0, 40), SAMPLING, VIEWS, MASK, 3, "train", 0)
    return SimpleNamespace(store=store, plan=plan)


def test_values_are_the_plans_days_standardised(tiny, weather):
    rows = slice(6, 11)
    batch = build_batch(tiny.store, tiny.plan, rows, VIEWS, MASK, BOTH)
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
    batch = build_batch(tiny.store, tiny.plan, rows, VIEWS, MASK, BOTH)
    for row in range(2):
        masks = [*batch["neighbour_masks"][row], batch["input_mask"][row]]
        for view, mask in enumerate(masks):
            seed, ratio = tiny.plan.mask_seed[30 + row, view], tiny.plan.mask_ratio[30 + row, view]
            assert_array_equal(mask, draw_mask(Points(), int(seed), float(ratio), (3, 9, 7)))


@pytest.mark.parametrize(
    ("needs", "names"),
    [
        (Needs(contrastive=True, input=False), {"after", "before", "crop", "neighbour_masks"}),
        (Needs(contrastive=False, input=True), {"input_mask"}),
        (Needs(contrastive=False, input=False), set()),
        (Needs(contrastive=False, input=False, labels=True), {"step", "season"}),
    ],
)
def test_only_what_is_needed_is_filled(tiny, needs, names):
    batch = build_batch(tiny.store, tiny.plan, slice(0, 4), VIEWS, MASK, needs)
    assert batch.keys() == names | {"day"}


def test_labels_say_when_a_row_was(tiny):
    rows = slice(3, 9)
    batch = build_batch(tiny.store, tiny.plan, rows, VIEWS, MASK, Needs(False, False, labels=True))
    assert_array_equal(batch["step"], tiny.plan.day[rows])
    # the store begins on the first of January
    assert_array_equal(batch["season"], np.where(tiny.plan.day[rows] < 59, 0, 1))


def test_a_row_is_the_same_in_any_batch(tiny):
    wide = build_batch(tiny.store, tiny.plan, slice(0, 9), VIEWS, MASK, BOTH)
    narrow = build_batch(tiny.store, tiny.plan, slice(5, 6), VIEWS, MASK, BOTH)
    for name, values in narrow.items():
        assert_array_equal(values[0], wide[name][5])


def test_masks_on_the_grid_are_drawn_likewise(tiny):
    rows, mask = slice(30, 32), MaskConfig(on="grid", shape=Block(size=60))
    batch = build_batch(tiny.store, tiny.plan, rows, VIEWS, mask, BOTH)
    assert not {"neighbour_masks", "input_mask"} & batch.keys()
    for row in range(2):
        masks = [*batch["neighbour_masks_on_grid"][row], batch["input_mask_on_grid"][row]]
        for view, bits in enumerate(masks):
            seed, ratio = tiny.plan.mask_seed[30 + row, view], tiny.plan.mask_ratio[30 + row, view]
            expected = draw_mask(mask.shape, int(seed), float(ratio), (3, 8, 5))
            assert_array_equal(bits, expected)


def test_half_precision_rounds_the_fields_and_nothing_else(tiny):
    whole, half = (
        build_batch(tiny.store, tiny.plan, slice(2, 9), VIEWS, MASK, BOTH, BatchConfig(fields=kind))
        for kind in ("float32", "float16")
    )
    assert half.keys() == whole.keys()
    for name, values in half.items():
        if name in ("day", "after", "before"):
            assert values.dtype == np.float16
            assert_allclose(values, whole[name], rtol=5e-4, atol=1e-7)
        else:
            assert_array_equal(values, whole[name])


def test_gaps_are_told_only_by_a_store_that_may_have_some(make_store, tiny):
    missing = np.random.default_rng(0).random((40, 3, 8, 5)) < 0.3
    missing[np.arange(40) % 5 > 0] = False
    store = Store(make_store(days=40, grid=(8, 5), missing=missing))
    rows = slice(0, 21)
    batch = build_batch(store, tiny.plan, rows, VIEWS, MASK, BOTH)
    day, delta = tiny.plan.day[rows], tiny.plan.delta[rows]
    gaps = missing.any(axis=(1, 2, 3))
    assert_array_equal(batch["gaps"], gaps[day] | gaps[day + delta] | gaps[day - delta])
    assert 0 < batch["gaps"].sum() < 21
    for name, days in (("day", day), ("after", day + delta), ("before", day - delta)):
        assert_array_equal(np.isnan(batch[name]), missing[days])
    assert "gaps" not in build_batch(tiny.store, tiny.plan, rows, VIEWS, MASK, BOTH)


@pytest.mark.parametrize(
    ("on", "fields", "most"),
    [("view", "float32", 145_000), ("view", "float16", 82_000), ("grid", "float16", 66_000)],
)
def test_a_published_rows_bytes(make_store, on, fields, most):
    store = Store(make_store(days=40, grid=(64, 32), labels=PUBLISHED))
    views, mask = ViewConfig(), MaskConfig(on=on)
    plan = make_plan(Split(0, 40), SAMPLING, views, mask, 0, "train", 0)
    batch = build_batch(store, plan, slice(0, 6), views, mask, BOTH, BatchConfig(fields=fields))
    size = sum(array.nbytes for array in batch.values()) / 6
    points = 144 * 72 if on == "view" else 64 * 32
    assert size == 3 * 5 * 64 * 32 * np.dtype(fields).itemsize + 3 * 5 * points / 8 + 12
    assert size <= most
