import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sparta_ray.base.config import from_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.data.plan.mask_shapes import Block, Points, Stations, Swath, Variables
from sparta_ray.data.plan.masking import MaskConfig, draw_mask

SIZES = [(5, 64, 32), (3, 21, 13)]
SHAPES = [Points(), Swath(), Swath(width=7, tilt=90), Block(), Block(size=11), Stations()]


def drawn(shape, ratio, size, seed=0):
    """Which values a mask keeps, by way of its bits."""
    bits = draw_mask(shape, seed, ratio, size)
    return np.unpackbits(bits)[: np.prod(size)].reshape(size).astype(bool)


def starts(kept_I):
    """How many stretches of a closed circle are kept."""
    return int((kept_I & ~np.roll(kept_I, 1)).sum())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.7, 0.95])
def test_every_shape_hides_its_share_on_average(shape, ratio, size):
    shares = [1 - drawn(shape, ratio, size, seed).mean() for seed in range(150)]
    error = 4 * np.std(shares) / np.sqrt(len(shares))
    assert np.mean(shares) == pytest.approx(ratio, abs=max(error, 0.5 / (size[1] * size[2]) + 1e-9))
    assert np.std(shares) < 0.12


@pytest.mark.parametrize("shape", [*SHAPES, Variables()])
def test_a_mask_depends_on_its_seed_alone(shape):
    first = draw_mask(shape, 7, 0.6, SIZES[1])
    draw_mask(shape, 8, 0.6, SIZES[1])
    assert_array_equal(draw_mask(shape, 7, 0.6, SIZES[1]), first)
    others = [draw_mask(shape, seed, 0.6, SIZES[1]) for seed in range(8, 16)]
    same = [np.array_equal(first, other) for other in others]
    assert all(same) if isinstance(shape, Stations) else not all(same)


@pytest.mark.parametrize("shape", [Swath(), Block(), Stations()])
def test_shapes_of_places_are_those_of_all_variables(shape):
    kept = drawn(shape, 0.6, (4, 36, 18))
    for variable in kept:
        assert_array_equal(variable, kept[0])


@pytest.mark.parametrize("seed", range(6))
def test_swaths_are_stripes_of_the_width_asked_for_around_the_globe(seed):
    (kept,) = drawn(Swath(width=20, tilt=0), 0.7, (1, 720, 8), seed)
    assert_array_equal(kept, np.repeat(kept[:, :1], 8, axis=1))
    # each way 1 - √0.7 = 16.3 % of 720 points: 3 swaths of 39.2; the two ways may overlap
    swaths = starts(kept[:, 0])
    assert swaths in (3, 6)
    if swaths == 6:
        assert kept[:, 0].sum() == pytest.approx(6 * 39.2, abs=3)
    for way in np.roll(kept[:, 0], 240), np.roll(kept[:, 0], 480):
        assert (way == kept[:, 0]).mean() > 0.99


def test_swaths_lean_both_ways():
    (kept,) = drawn(Swath(width=360, tilt=180), 0.8, (1, 400, 201), seed=1)

    def lag(towards):
        """Longitudes by which the last row's swath lies off the first row's."""
        return int(np.argmax([np.sum(kept[:, 0] & np.roll(kept[:, -1], n)) for n in towards]))

    eastward, westward = range(-210, -180), range(180, 210)
    assert eastward[lag(eastward)] == pytest.approx(-199, abs=3)
    assert westward[lag(westward)] == pytest.approx(199, abs=3)


def test_blocks_are_squares_of_one_board():
    (kept,) = drawn(Block(size=30), 0.5, (1, 144, 72), seed=5)
    columns = np.flatnonzero((kept != np.roll(kept, 1, axis=0)).any(axis=1))
    rows = np.flatnonzero((kept[:, 1:] != kept[:, :-1]).any(axis=0))
    assert set(columns % 12) == {columns[0] % 12}
    assert set(rows % 12) == {rows[0] % 12}
    assert len(rows) in (5, 6)


def test_blocks_hidden_are_within_one_of_the_ratio():
    for seed in range(20):
        (kept,) = drawn(Block(size=60), 0.5, (1, 360, 180), seed)
        changes = np.flatnonzero((kept != np.roll(kept, 1, axis=0)).any(axis=1))
        phase = changes[0] % 60 if len(changes) else 0
        row_changes = np.flatnonzero((kept[:, 1:] != kept[:, :-1]).any(axis=0)) + 1
        edges = np.unique(np.concatenate([[0], row_changes[0] % 60 + np.arange(0, 180, 60)]))
        board = kept[phase::60][:, edges]
        assert abs((~board).sum() - board.size / 2) <= 1


def test_a_denser_network_keeps_the_stations_of_a_sparser_one():
    size = (2, 64, 32)
    sparse, dense = drawn(Stations(), 0.9, size), drawn(Stations(), 0.6, size)
    assert (dense | ~sparse).all()
    assert sparse[0].sum() == round(0.1 * 2048)
    assert dense[0].sum() == round(0.4 * 2048)
    assert drawn(Stations(), 0.9999, size)[0].sum() == 1
    assert not np.array_equal(drawn(Stations(seed=1), 0.9, size), sparse)


def test_stations_are_spread_by_area():
    kept = drawn(Stations(), 0.95, (1, 360, 180))[0].mean(axis=0)
    tropics, poles = kept[60:120].mean(), kept[[*range(30), *range(150, 180)]].mean()
    expected = (np.sin(np.pi / 6) / (np.pi / 6)) / ((1 - np.sin(np.pi / 3)) / (np.pi / 6))
    assert tropics / poles == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize(
    ("variables", "ratio", "share"), [(5, 0.5, 0.5), (5, 0.9, 0.8), (3, 0.1, 0.1), (1, 0.7, 0.0)]
)
def test_whole_variables_are_hidden_but_never_all(variables, ratio, share):
    size = (variables, 6, 4)
    kept = np.stack([drawn(Variables(), ratio, size, seed) for seed in range(600)])
    whole = kept.reshape(600, variables, -1)
    assert (whole.all(axis=2) | ~whole.any(axis=2)).all()
    assert whole.any(axis=(1, 2)).all()
    assert 1 - kept.mean() == pytest.approx(share, abs=0.03)
    assert np.ptp(kept.mean(axis=(0, 2, 3))) < 0.1


@pytest.mark.parametrize("shape", [{"kind": "swath", "width": 0}, {"kind": "block", "size": 200}])
def test_sizes_that_make_no_sense(shape):
    with pytest.raises(ConfigError, match=r"shape\."):
        from_tree(MaskConfig, {"shape": shape}, "run")
