import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.nn import functional

from sparta_ray.base.config import from_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.data.batches.compact import Needs, build_batch
from sparta_ray.data.batches.expand import expand, to_device
from sparta_ray.data.batches.view_operator import ViewOperator
from sparta_ray.data.plan.masking import MaskConfig
from sparta_ray.data.plan.sampling import SamplingConfig, make_plan
from sparta_ray.data.plan.splits import Split
from sparta_ray.data.plan.views import (
    ViewConfig,
    bicubic_matrix,
    mean_filter_matrix,
    periodic_filter_matrix,
)
from sparta_ray.data.store.store import Store

MASK = MaskConfig()


def resized_the_long_way(x, size):
    return functional.interpolate(x, size=size, mode="bicubic", align_corners=False)


def cropped_the_long_way(x, offset, config):
    """Resize, crop and smooth, one step after another."""
    i, j = map(int, offset)
    whole = resized_the_long_way(x[None], config.resize)
    part = whole[:, :, i : i + config.crop[0], j : j + config.crop[1]]
    padding = config.filter // 2
    return functional.avg_pool2d(
        part, config.filter, stride=1, padding=padding, count_include_pad=True
    )[0]


@pytest.mark.parametrize(
    ("grid", "config"),
    [
        ((64, 32), ViewConfig()),
        ((10, 7), ViewConfig(resize=(23, 15), crop=(20, 11), filter=3)),
        ((8, 5), ViewConfig(resize=(8, 5), crop=(6, 5), filter=1)),
        ((30, 20), ViewConfig(resize=(17, 11), crop=(15, 9), filter=7)),
    ],
)
def test_every_crop_equals_resize_crop_and_filter(grid, config):
    x = torch.randn(3, *grid, generator=torch.Generator().manual_seed(0))
    offsets = torch.cartesian_prod(*(torch.arange(n) for n in config.crop_positions))
    offsets = offsets.view(-1, 2)
    views = ViewOperator(grid, config).cropped(x.expand(len(offsets), -1, -1, -1), offsets)
    expected = torch.stack([cropped_the_long_way(x, offset, config) for offset in offsets])
    assert views.shape == (len(offsets), 3, *config.crop)
    assert_allclose(views, expected, atol=1e-5)


def seamless_the_long_way(x, offset, config):
    """Pad round the globe, resize, drop the padding; smooth likewise; then crop."""
    i, j = map(int, offset)
    resized = periodically_resized_the_long_way(x[None], config.resize)
    reach = config.filter // 2
    padded = functional.pad(resized, (0, 0, reach, reach), mode="circular")
    smooth = functional.avg_pool2d(
        padded, config.filter, stride=1, padding=(0, reach), count_include_pad=False
    )
    return smooth[0, :, i : i + config.crop[0], j : j + config.crop[1]]


def periodically_resized_the_long_way(x, size):
    """Resize three copies of the globe side by side, and take the middle one."""
    three = resized_the_long_way(torch.cat([x, x, x], dim=2), (3 * size[0], size[1]))
    return three[:, :, size[0] : 2 * size[0]]


@pytest.mark.parametrize(
    ("grid", "config"),
    [
        ((64, 32), ViewConfig(periodic=True)),
        ((10, 7), ViewConfig(resize=(23, 15), crop=(20, 11), filter=3, periodic=True)),
        ((30, 20), ViewConfig(resize=(17, 11), crop=(17, 9), filter=7, periodic=True)),
    ],
)
def test_every_seamless_crop_equals_circularly_padded_steps(grid, config):
    x = torch.randn(3, *grid, dtype=torch.float64)
    offsets = torch.cartesian_prod(*(torch.arange(n) for n in config.crop_positions))
    offsets = torch.cat([offsets[::7], offsets[-1:]])
    operator = ViewOperator(grid, config).double()
    views = operator.cropped(x.expand(len(offsets), -1, -1, -1), offsets)
    expected = torch.stack([seamless_the_long_way(x, offset, config) for offset in offsets])
    assert_allclose(views, expected, atol=1e-6)
    whole = periodically_resized_the_long_way(x[None], config.crop)
    assert_allclose(operator.resized(x[None]), whole, atol=1e-6)


def test_a_seamless_view_turns_with_the_globe_and_darkens_nowhere():
    operator = ViewOperator((64, 32), ViewConfig(resize=(160, 80), crop=(160, 72), periodic=True))
    x, offset = torch.randn(1, 2, 64, 32), torch.tensor([[0, 3]])
    turned = operator.cropped(x.roll(8, dims=2), offset)  # 8 cells are 20 points
    assert_allclose(turned, operator.cropped(x, offset).roll(20, dims=2), atol=1e-5)
    ones = torch.ones(1, 1, 64, 32)
    for view in (operator.cropped(ones, offset), operator.resized(ones)):
        assert_allclose(view, 1, atol=1e-5)


def test_seamless_and_published_views_agree_away_from_the_edges():
    x, offset = torch.randn(1, 2, 64, 32), torch.tensor([[9, 4]])
    one, two = (ViewOperator((64, 32), ViewConfig(periodic=p)) for p in (False, True))
    inside = (..., slice(2, -2), slice(2, -2))
    first, second = one.cropped(x, offset), two.cropped(x, offset)
    assert_allclose(first[inside], second[inside], atol=1e-5)
    assert (first - second).abs()[..., 0, :].mean() > 0.1


def test_the_periodic_filter_by_hand():
    thirds = np.array([[1, 1, 0, 1], [1, 1, 1, 0], [0, 1, 1, 1], [1, 0, 1, 1]]) / 3
    assert_allclose(periodic_filter_matrix(4, 3), thirds)


def test_the_published_views_have_153_crops():
    assert np.prod(ViewConfig().crop_positions) == 153


@pytest.mark.parametrize(("grid", "size"), [((64, 32), (144, 72)), ((9, 5), (21, 4))])
def test_the_input_view_is_a_bicubic_resize(grid, size):
    x = torch.randn(2, 3, *grid, generator=torch.Generator().manual_seed(1))
    operator = ViewOperator(grid, ViewConfig(resize=size, crop=size))
    assert_allclose(operator.resized(x), resized_the_long_way(x, size), atol=1e-5)


def test_rows_have_their_own_crops():
    operator = ViewOperator((10, 7), ViewConfig(resize=(23, 15), crop=(20, 11), filter=3))
    x = torch.randn(3, 2, 10, 7, generator=torch.Generator().manual_seed(2))
    offsets = torch.tensor([[3, 4], [0, 0], [3, 4]], dtype=torch.int16)
    views = operator.cropped(x, offsets)
    for row in range(3):
        alone = operator.cropped(x[row : row + 1], offsets[row : row + 1])
        assert_allclose(views[row], alone[0], atol=1e-6)


def test_resizing_keeps_a_constant_and_the_filter_darkens_the_edge():
    assert_allclose(bicubic_matrix(7, 19).sum(axis=1), 1)
    assert_allclose(bicubic_matrix(6, 6), np.eye(6), atol=1e-15)
    shares = mean_filter_matrix(6, 5).sum(axis=1)
    assert_allclose(shares, [0.6, 0.8, 1, 1, 0.8, 0.6])


@pytest.mark.parametrize(("grid", "size"), [((64, 32), (144, 72)), ((9, 5), (21, 4))])
def test_a_point_of_the_input_view_lies_in_its_nearest_cell(grid, size):
    flags = torch.rand(2, 3, *grid, generator=torch.Generator().manual_seed(3))
    operator = ViewOperator(grid, ViewConfig(resize=size, crop=size))
    assert operator.view_size == size
    expected = functional.interpolate(flags, size=size, mode="nearest-exact")
    assert torch.equal(operator.nearest(flags), expected)
    assert torch.equal(operator.nearest(flags > 0.5), expected > 0.5)


def test_a_point_of_every_crop_lies_in_its_nearest_cell():
    config = ViewConfig(resize=(23, 15), crop=(20, 11), filter=3)
    flags = torch.rand(3, 10, 7, generator=torch.Generator().manual_seed(4)) > 0.5
    offsets = torch.cartesian_prod(*(torch.arange(n) for n in config.crop_positions))
    cells = ViewOperator((10, 7), config).nearest(flags.expand(len(offsets), -1, -1, -1), offsets)
    whole = functional.interpolate(flags[None].float(), config.resize, mode="nearest-exact")[0] > 0
    for found, (i, j) in zip(cells, offsets.tolist(), strict=True):
        assert torch.equal(found, whole[:, i : i + 20, j : j + 11])


def test_a_batch_expands_to_the_views_made_the_long_way(make_store):
    store, config = Store(make_store(days=40, grid=(64, 32))), ViewConfig()
    sampling = SamplingConfig(hard_days=(3, 9), min_soft_days=6)
    plan = make_plan(Split(0, 40), sampling, config, MASK, 0, "train", 0)
    rows = slice(4, 9)
    batch = build_batch(store, plan, rows, config, MASK, Needs(contrastive=True, input=True))
    operator = ViewOperator(store.grid, config)
    views = expand(to_device(batch, torch.device("cpu")), operator)

    def kept(name, row, *view):
        bits = np.unpackbits(batch[name][row][view])[: 3 * 144 * 72]
        return torch.from_numpy(bits.reshape(3, 144, 72).astype(bool))

    def masked(x, hidden_where_false):
        return torch.where(hidden_where_false, x, 0.0)

    for row in range(5):
        index = rows.start + row
        day, delta, crop = plan.day[index], plan.delta[index], plan.crop[index]
        at = np.array([day, day + delta, day - delta])
        fields = torch.from_numpy(store.read_standardised(at))
        cropped = [cropped_the_long_way(fields[n], crop[n], config) for n in range(3)]
        whole = resized_the_long_way(fields[:1], config.crop)[0]
        assert_allclose(views.anchor[row], cropped[0], atol=1e-5)
        after = masked(cropped[1], kept("neighbour_masks", row, 0))
        assert_allclose(views.after[row], after, atol=1e-5)
        before = masked(cropped[2], kept("neighbour_masks", row, 1))
        assert_allclose(views.before[row], before, atol=1e-5)
        assert_allclose(views.input[row], masked(whole, kept("input_mask", row)), atol=1e-5)
        for field, expected in zip(
            (views.fields.day, views.fields.after, views.fields.before), fields, strict=True
        ):
            assert_allclose(field[row], expected)
    hidden = [(view == 0).float().mean() for view in (views.after, views.before, views.input)]
    assert all(0.5 < share < 0.9 for share in hidden)
    assert (views.anchor == 0).float().mean() < 0.01


def test_what_a_stage_does_not_need_is_not_expanded(make_store):
    store, config = Store(make_store(days=40, grid=(8, 6))), ViewConfig(resize=(9, 8), crop=(8, 7))
    sampling = SamplingConfig(negatives=False)
    plan = make_plan(Split(0, 40), sampling, config, MASK, 0, "train", 0)
    operator = ViewOperator(store.grid, config)

    def views(needs):
        batch = build_batch(store, plan, slice(0, 2), config, MASK, needs)
        return expand(to_device(batch, torch.device("cpu")), operator)

    contrastive = views(Needs(contrastive=True, input=False))
    assert contrastive.input is None
    assert contrastive.after is not None
    only_input = views(Needs(contrastive=False, input=True))
    assert only_input.input is not None
    assert only_input.anchor is only_input.after is only_input.fields.before is None


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"resize": [140, 80]}, "must fit into resize"),
        ({"crop": [0, 10]}, "must fit into resize"),
        ({"filter": 4}, "must be odd"),
    ],
)
def test_sizes_that_do_not_fit(tree, message):
    with pytest.raises(ConfigError, match=message):
        from_tree(ViewConfig, tree, "run")
