"""Masks on the grid and missing values, against the long way of torch's own operators."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch.nn import functional

from sparta_ray.data.batches.compact import BatchConfig, Needs, build_batch
from sparta_ray.data.batches.expand import expand, sparse_view, to_device
from sparta_ray.data.batches.view_operator import ViewOperator
from sparta_ray.data.plan.mask_shapes import Block
from sparta_ray.data.plan.masking import MaskConfig
from sparta_ray.data.plan.sampling import SamplingConfig, make_plan
from sparta_ray.data.plan.splits import Split
from sparta_ray.data.plan.views import ViewConfig
from sparta_ray.data.store.store import Store

GRID, CONFIG = (24, 13), ViewConfig(resize=(60, 31), crop=(54, 27), filter=5)
SAMPLING = SamplingConfig(hard_days=(3, 9), min_soft_days=6)
BOTH, CPU = Needs(contrastive=True, input=True), torch.device("cpu")
ON_GRID = MaskConfig(on="grid", ratio=(0.2, 0.8))


def long_way(x, kept, offset=None):
    """Hide cells, resize, crop and smooth; then hide the points that lie in hidden cells."""
    size = CONFIG.crop if offset is None else CONFIG.resize
    shown = torch.where(kept, x, 0.0)[None]
    view = functional.interpolate(shown, size, mode="bicubic", align_corners=False)
    cells = functional.interpolate(kept[None].float(), size, mode="nearest-exact")
    if offset is not None:
        i, j = map(int, offset)
        part = (..., slice(i, i + CONFIG.crop[0]), slice(j, j + CONFIG.crop[1]))
        view = functional.avg_pool2d(view[part], 5, stride=1, padding=2, count_include_pad=True)
        cells = cells[part]
    return torch.where(cells > 0, view, 0.0)[0]


def unpacked(bits, shape):
    kept = np.unpackbits(bits)[: np.prod(shape)].reshape(shape)
    return torch.from_numpy(kept.astype(bool))


@pytest.fixture(scope="module")
def missing():
    """A quarter of the values of every third day, and a whole variable of day 20."""
    missing = np.random.default_rng(1).random((40, 3, *GRID)) < 0.25
    missing[np.arange(40) % 3 > 0] = False
    missing[20, 1] = True
    return missing


@pytest.fixture(scope="module")
def stores(make_store, missing):
    return {
        False: Store(make_store(days=40, grid=GRID)),
        True: Store(make_store(days=40, grid=GRID, missing=missing)),
    }


@pytest.fixture(scope="module")
def plan():
    return make_plan(Split(0, 40), SAMPLING, CONFIG, ON_GRID, 0, "train", 0)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("mask", [ON_GRID, MaskConfig(on="grid", shape=Block()), MaskConfig()])
def test_views_of_sparse_fields_are_those_made_the_long_way(stores, plan, gaps, mask):
    store, rows = stores[gaps], slice(4, 16)
    batch = build_batch(store, plan, rows, CONFIG, mask, BOTH)
    views = expand(to_device(batch, CPU), ViewOperator(GRID, CONFIG))
    assert views.fields.gaps is gaps
    place, size = ("_on_grid", GRID) if mask.on == "grid" else ("", CONFIG.crop)
    for row in range(12):
        day, delta = plan.day[4 + row], plan.delta[4 + row]
        fields = torch.from_numpy(
            store.read_standardised(np.array([day, day + delta, day - delta]))
        )
        drawn = [
            unpacked(bits, (3, *size))
            for bits in (*batch[f"neighbour_masks{place}"][row], batch[f"input_mask{place}"][row])
        ]
        crops, found = plan.crop[4 + row], (views.after[row], views.before[row], views.input[row])
        everything = torch.ones(1, dtype=torch.bool)
        assert_allclose(
            views.anchor[row], long_way(fields[0], ~fields[0].isnan(), crops[0]), atol=1e-5
        )
        for view, x, mine, offset in zip(
            found, (fields[1], fields[2], fields[0]), drawn, (crops[1], crops[2], None), strict=True
        ):
            on_grid = mine if mask.on == "grid" else everything
            on_view = mine if mask.on == "view" else everything
            expected = long_way(x, on_grid & ~x.isnan(), offset)
            assert_allclose(view, torch.where(on_view, expected, 0.0), atol=1e-5)


@pytest.mark.parametrize("offset", [None, (3, 4)])
def test_nothing_of_a_hidden_cell_is_left_in_the_view(offset):
    generator = torch.Generator().manual_seed(0)
    one, two = torch.randn(2, 1, 3, *GRID, generator=generator)
    kept = torch.rand(1, 3, *GRID, generator=generator) > 0.6
    two = torch.where(kept, one, two)
    two[~kept & (torch.rand(kept.shape, generator=generator) > 0.5)] = torch.nan
    operator = ViewOperator(GRID, CONFIG)
    crop = None if offset is None else torch.tensor([offset])
    first, seen = sparse_view(one, operator, crop, on_grid=kept)
    second, also_seen = sparse_view(two, operator, crop, on_grid=kept, gaps=True)
    assert torch.equal(first, second)
    assert torch.equal(seen, also_seen)
    assert torch.equal(first == 0, ~seen)
    assert seen.float().mean() == pytest.approx(0.4, abs=0.05)


def test_a_view_of_which_all_is_seen_has_no_mask():
    x = torch.randn(2, 3, *GRID)
    operator = ViewOperator(GRID, CONFIG)
    view, seen = sparse_view(x, operator)
    assert seen is None
    assert torch.equal(view, operator.resized(x))


def test_a_batch_without_gaps_is_expanded_alike_whether_or_not_it_might_have_some(
    make_store, stores, plan
):
    nothing = np.zeros((40, 3, *GRID), dtype=bool)
    may_have = Store(make_store(days=40, grid=GRID, missing=nothing))
    operator = ViewOperator(GRID, CONFIG)

    def views(store):
        batch = build_batch(store, plan, slice(0, 5), CONFIG, MaskConfig(), BOTH)
        return expand(to_device(batch, CPU), operator)

    one, two = views(stores[False]), views(may_have)
    assert two.fields.gaps is False
    for name in ("anchor", "after", "before", "input"):
        assert torch.equal(getattr(one, name), getattr(two, name))


def test_fields_keep_their_gaps_for_the_loss_to_leave_out(stores, plan, missing):
    batch = build_batch(stores[True], plan, slice(0, 21), CONFIG, ON_GRID, BOTH)
    views = expand(to_device(batch, CPU), ViewOperator(GRID, CONFIG))
    day, delta = plan.day[:21], plan.delta[:21]
    found = (views.fields.day, views.fields.after, views.fields.before)
    for field, days in zip(found, (day, day + delta, day - delta), strict=True):
        assert_array_equal(field.isnan().numpy(), missing[days])
    for view in (views.anchor, views.after, views.before, views.input):
        assert view.isfinite().all()


def test_half_precision_fields_become_single_again(stores, plan):
    batches = [
        build_batch(
            stores[True], plan, slice(0, 9), CONFIG, ON_GRID, BOTH, BatchConfig(fields=fields)
        )
        for fields in ("float32", "float16")
    ]
    whole, half = (expand(to_device(b, CPU), ViewOperator(GRID, CONFIG)) for b in batches)
    for name in ("anchor", "after", "before", "input"):
        view = getattr(half, name)
        assert view.dtype == torch.float32
        assert_allclose(view, getattr(whole, name), atol=4e-3)
    assert half.fields.day.dtype == torch.float32
    assert_array_equal(half.fields.day.isnan(), whole.fields.day.isnan())
