import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.grids import (
    EquiangularGrid,
    GaussianGrid,
    Grid,
    area_weights,
    latitude_edges,
    longitude_edges,
)
from sparta_ray.data.regrid import ConservativeRegridder


def equiangular(longitudes, latitudes, poles=False):
    config = EquiangularGrid(
        kind="equiangular", longitudes=longitudes, latitudes=latitudes, poles=poles
    )
    return config.grid(None)


def gaussian(longitudes, latitudes):
    return GaussianGrid(kind="gaussian", longitudes=longitudes, latitudes=latitudes).grid(None)


def shifted(grid, degrees):
    return Grid(grid.longitude + degrees, grid.latitude)


WB2 = equiangular(64, 32)
PAIRS = {
    "1.5° with poles": (equiangular(240, 121, poles=True), WB2),
    "gaussian": (gaussian(96, 48), WB2),
    "to poles": (WB2, equiangular(24, 13, poles=True)),
    "to finer": (equiangular(7, 5), equiangular(16, 9)),
    "to gaussian": (equiangular(36, 19, poles=True), gaussian(16, 8)),
    "half a cell round": (shifted(equiangular(36, 18), 5.0), equiangular(7, 5)),
}


def noise(grid, *leading, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(14e3, 900, (*leading, *grid.shape)).astype(np.float32)


def cell_by_cell(x_XY, source, target, skip_missing=False):
    """The definition in float64: the mean over overlaps of cells, looked for one by one."""
    x_edges, y_edges = longitude_edges(source.longitude), latitude_edges(source.latitude)
    p_edges, q_edges = longitude_edges(target.longitude), latitude_edges(target.latitude)
    result = np.empty(target.shape)
    for p in range(target.shape[0]):
        for q in range(target.shape[1]):
            total = area = 0.0
            for x in range(source.shape[0]):
                width = sum(
                    max(0.0, min(p_edges[p + 1], x_edges[x + 1] + turn) - max(p_edges[p], low))
                    for turn in (-360, 0, 360)
                    for low in [x_edges[x] + turn]
                )
                if width < 1e-9:
                    continue
                for y in range(source.shape[1]):
                    low, high = max(q_edges[q], y_edges[y]), min(q_edges[q + 1], y_edges[y + 1])
                    if high - low < 1e-9 or (skip_missing and np.isnan(x_XY[x, y])):
                        continue
                    overlap = width * (np.sin(np.deg2rad(high)) - np.sin(np.deg2rad(low)))
                    total, area = total + overlap * float(x_XY[x, y]), area + overlap
            result[p, q] = total / area if area else np.nan
    return result


def area_mean(x_XY, grid):
    return (x_XY.astype(np.float64) * area_weights(grid.latitude) * sectors(grid)).mean()


def sectors(grid):
    width = np.diff(longitude_edges(grid.longitude))
    return (width / width.mean())[:, None]


@pytest.mark.parametrize("name", ["to finer", "to gaussian", "half a cell round"])
def test_it_is_the_mean_over_the_overlaps_of_cells(name):
    source, target = PAIRS[name]
    x_XY = noise(source)
    assert_allclose(
        ConservativeRegridder(source, target)(x_XY), cell_by_cell(x_XY, source, target), rtol=3e-7
    )


@pytest.mark.parametrize("name", ["to gaussian", "half a cell round"])
def test_missing_cells_are_left_out_of_the_mean(name):
    source, target = PAIRS[name]
    x_XY = noise(source)
    x_XY[np.random.default_rng(1).random(source.shape) < 0.3] = np.nan
    x_XY[:9, -6:] = np.nan  # some target cells have nothing left
    regrid = ConservativeRegridder(source, target)
    expected = cell_by_cell(x_XY, source, target, skip_missing=True)
    assert 0 < np.isnan(expected).sum() < expected.size / 2
    assert_allclose(regrid(x_XY, skip_missing=True), expected, rtol=5e-7)
    spread = cell_by_cell(x_XY, source, target)
    assert_array_equal(np.isnan(regrid(x_XY)), np.isnan(spread))


@pytest.mark.parametrize("name", PAIRS)
def test_the_global_mean_and_constants_are_kept(name):
    source, target = PAIRS[name]
    regrid = ConservativeRegridder(source, target)
    x_XY = noise(source)
    assert_allclose(area_mean(regrid(x_XY), target), area_mean(x_XY, source), rtol=1e-6)
    assert_allclose(regrid(np.full(source.shape, 14e3, np.float32)), 14e3, rtol=1e-6)


def test_two_cells_by_hand():
    # One target sector is half of cell 0, all of cell 1 and half of cell 2; so is one target band.
    source = Grid(np.array([45.0, 135.0, 225.0, 315.0]), np.array([-45.0, 45.0]))
    target = Grid(np.array([135.0, 315.0]), np.array([-45.0, 45.0]))
    x_XY = np.array([[1, 5], [2, 6], [3, 7], [4, 8]], dtype=np.float32)
    expected = [[(0.5 * 1 + 2 + 0.5 * 3) / 2, 6], [(0.5 * 3 + 4 + 0.5 * 1) / 2, 7]]
    assert_allclose(ConservativeRegridder(source, target)(x_XY), expected)


def test_poles_weigh_as_little_as_they_are():
    source = Grid(np.array([0.0, 180.0]), np.array([-90.0, -30.0, 30.0, 90.0]))
    target = Grid(np.array([0.0, 180.0]), np.array([-45.0, 45.0]))
    x_XY = np.tile(np.array([1, 0, 0, 1], dtype=np.float32), (2, 1))
    cap = 1 - np.sin(np.deg2rad(60))  # of each hemisphere's 1
    assert_allclose(ConservativeRegridder(source, target)(x_XY), cap, rtol=1e-6)


def test_equal_grids_need_no_work():
    rounded = Grid(WB2.longitude, WB2.latitude.astype(np.float32).astype(np.float64))
    regrid = ConservativeRegridder(rounded, WB2)
    x_XY = noise(WB2)
    assert regrid.is_identity
    assert regrid(x_XY) is x_XY


def test_nested_cells_are_plain_means():
    x_XY = noise(equiangular(8, 6))
    finer = ConservativeRegridder(equiangular(8, 6), equiangular(16, 6))
    rolled = np.repeat(x_XY, 2, axis=0)  # centres at 0 and 22.5: the latter straddles two cells
    assert_array_equal(finer(x_XY)[::2], rolled[::2])
    assert_allclose(finer(x_XY)[1::2], (x_XY + np.roll(x_XY, -1, axis=0)) / 2, rtol=1e-6)


def test_many_fields_are_regridded_each_on_its_own():
    source, target = PAIRS["to gaussian"]
    regrid = ConservativeRegridder(source, target)
    x_TVXY = noise(source, 3, 2)
    x_TVXY[1, 0, 4] = np.nan
    together = regrid(x_TVXY, skip_missing=True)
    assert together.shape == (3, 2, *target.shape)
    assert together.dtype == np.float32
    for t in range(3):
        for v in range(2):
            assert_array_equal(together[t, v], regrid(x_TVXY[t, v], skip_missing=True))
    assert regrid(x_TVXY[:0]).shape == (0, 2, *target.shape)


@given(
    st.integers(2, 40), st.integers(2, 30), st.integers(2, 40), st.integers(2, 30), st.booleans()
)
def test_any_grids_keep_means_and_stay_within_the_extremes(X, Y, P, Q, poles):
    source, target = equiangular(X, Y, poles), equiangular(P, Q)
    x_XY = noise(source, seed=X)
    y_PQ = ConservativeRegridder(source, target)(x_XY)
    assert_allclose(area_mean(y_PQ, target), area_mean(x_XY, source), rtol=1e-6)
    assert x_XY.min() * (1 - 1e-6) <= y_PQ.min()
    assert y_PQ.max() <= x_XY.max() * (1 + 1e-6)


@pytest.mark.parametrize(
    "region",
    [
        Grid(np.arange(0.0, 60.0, 5), WB2.latitude),
        Grid(WB2.longitude, np.arange(30.0, 70.0, 5)),
    ],
)
def test_a_region_is_refused(region):
    with pytest.raises(ConfigError, match="cover the globe; the source grid has longitudes 0"):
        ConservativeRegridder(region, WB2)
    with pytest.raises(ConfigError, match="the target grid"):
        ConservativeRegridder(WB2, region)
    assert ConservativeRegridder(region, region).is_identity
