import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from sparta_ray.base.config import from_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.data.batches.expand import apply_mask, unpack_mask
from sparta_ray.data.plan.mask_shapes import Points, Stations, Variables
from sparta_ray.data.plan.masking import MaskConfig, check_mask, draw_mask, packed_size

VALUES = 3 * 5 * 7  # fits neither bytes nor words


def draw(seed, ratio, values):
    """A mask as published, of some values."""
    return draw_mask(Points(), seed, ratio, (values, 1, 1))


def test_the_published_masks_are_what_they_always_were():
    digest = hashlib.blake2b(digest_size=8)
    cases = ((0, 0.5, 51840), (2**63 + 7, 0.7, 105), (11, 0.899, 51840), (5, 0.0, 13))
    for case in cases:
        digest.update(draw(*case).tobytes())
    assert digest.hexdigest() == "20e7e8c119d1b651"
    assert_array_equal(draw_mask(Points(), 3, 0.7, (5, 3, 7)), draw(3, 0.7, VALUES))


@given(st.integers(0, 2**64 - 1), st.floats(0, 1, exclude_max=True))
def test_the_kept_share_is_one_minus_the_ratio(seed, ratio):
    values = 20_001
    kept = np.unpackbits(draw(seed, ratio, values))[:values].mean()
    assert abs(kept - (1 - ratio)) < 5 * np.sqrt(ratio * (1 - ratio) / values) + 2**-16


def test_ratio_zero_keeps_everything_and_the_greatest_hides_everything():
    assert_array_equal(np.unpackbits(draw(3, 0.0, VALUES))[:VALUES], 1)
    assert_array_equal(np.unpackbits(draw(3, 1 - 1e-9, VALUES)), 0)


def test_bits_beyond_the_last_value_are_zero():
    bits = draw(3, 0.0, VALUES)
    assert len(bits) == packed_size(VALUES) == 14
    assert bits[-1] == 0b10000000


@given(st.integers(1, 4), st.tuples(*[st.integers(1, 5)] * 3), st.integers(0, 99))
def test_unpacking_undoes_packing(rows, shape, seed):
    kept = np.random.default_rng(seed).random((rows, *shape)) < 0.4
    bits = np.packbits(kept.reshape(rows, -1), axis=1)
    unpacked = unpack_mask(torch.from_numpy(bits), shape)
    assert unpacked.dtype == torch.bool
    assert_array_equal(unpacked.numpy(), kept)


def test_unpacking_agrees_with_numpy():
    bits = np.stack([draw(seed, 0.3, VALUES) for seed in range(4)])
    expected = np.unpackbits(bits, axis=1)[:, :VALUES].reshape(4, 3, 5, 7)
    assert_array_equal(unpack_mask(torch.from_numpy(bits), (3, 5, 7)).numpy(), expected)


def test_a_mask_depends_on_its_seed_alone():
    alone = draw(7, 0.6, VALUES)
    draw(8, 0.6, VALUES)
    np.random.default_rng(0).random(5)
    assert_array_equal(draw(7, 0.6, VALUES), alone)


def test_masks_of_different_seeds_are_unrelated():
    values = 40_000
    one, two = (np.unpackbits(draw(seed, 0.5, values))[:values] for seed in (0, 1))
    assert abs((one == two).mean() - 0.5) < 0.02


def test_a_higher_ratio_hides_more_of_the_same_draw():
    low, high = (np.unpackbits(draw(5, ratio, VALUES)) for ratio in (0.4, 0.8))
    assert (high <= low).all()
    assert high.sum() < low.sum()


def test_every_value_is_hidden_on_its_own():
    values = 60_000
    kept = np.unpackbits(draw(11, 0.7, values))[:values].astype(float) - 0.3
    for lag in (1, 2, 3, 4, 8):
        assert abs((kept[:-lag] * kept[lag:]).mean()) < 0.005


def test_hidden_values_become_zero_and_the_rest_stays():
    x = torch.tensor([[1.0, -2.0, float("nan")]])
    kept = torch.tensor([[True, False, False]])
    assert_array_equal(apply_mask(x, kept).numpy(), [[1.0, 0.0, 0.0]])
    assert x[0, 1] == -2


@pytest.mark.parametrize("ratio", [[0.9, 0.5], [-0.1, 0.5], [0.5, 1.0]])
def test_ratios_must_ascend_within_bounds(ratio):
    with pytest.raises(ConfigError, match=r"must lie in \[0, 1\), ascending"):
        from_tree(MaskConfig, {"ratio": ratio}, "run")
    assert from_tree(MaskConfig, {"ratio": [0, 0.7]}, "run") == MaskConfig(ratio=(0.0, 0.7))


def test_a_mask_falls_on_the_view_or_on_the_grid():
    on_view, on_grid = MaskConfig(), MaskConfig(on="grid")
    assert on_view.size(5, (64, 32), (144, 72)) == (5, 144, 72)
    assert on_grid.size(5, (64, 32), (144, 72)) == (5, 64, 32)


def test_shapes_are_told_by_their_kind():
    tree = {"on": "grid", "shape": {"kind": "stations", "seed": 4}}
    assert from_tree(MaskConfig, tree, "run") == MaskConfig(on="grid", shape=Stations(seed=4))
    with pytest.raises(ConfigError, match="shape"):
        from_tree(MaskConfig, {"shape": {"kind": "cloud"}}, "run")
    with pytest.raises(ConfigError, match="did you mean size"):
        from_tree(MaskConfig, {"shape": {"kind": "block", "sise": 3}}, "run")


def test_whole_variables_are_not_hidden_of_one():
    mask = MaskConfig(shape=Variables())
    check_mask(mask, "mask", variables=2)
    check_mask(MaskConfig(), "mask", variables=1)
    with pytest.raises(ConfigError, match=r"mask\.shape: kind `variables`.*add variables"):
        check_mask(mask, "mask", variables=1)
