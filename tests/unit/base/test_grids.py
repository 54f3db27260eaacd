import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sparta_ray.base.config import from_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.grids import (
    EquiangularGrid,
    GaussianGrid,
    Grid,
    OwnGrid,
    area_weights,
    closes_circle,
    latitude_edges,
    longitude_edges,
    reaches_poles,
    without_break,
)


def test_edges_lie_half_way_and_end_at_the_poles():
    assert_allclose(latitude_edges(np.array([-60.0, 0.0, 60.0])), [-90, -30, 30, 90])
    assert_allclose(latitude_edges(np.array([60.0, 0.0, -60.0])), [90, 30, -30, -90])


def test_longitude_edges_go_round_the_globe():
    assert_allclose(longitude_edges(np.array([0.0, 90, 180, 270])), [-45, 45, 135, 225, 315])
    assert_allclose(longitude_edges(np.array([10.0, 30, 200])), [-75, 20, 115, 285])


def test_a_regions_cells_end_half_a_spacing_beyond_its_outermost_centres():
    assert_allclose(latitude_edges(np.array([30.0, 40, 50, 60])), [25, 35, 45, 55, 65])
    assert_allclose(latitude_edges(np.array([60.0, 50, 40, 30])), [65, 55, 45, 35, 25])
    assert_allclose(latitude_edges(np.array([-89.0, -80, -70])), [-90, -84.5, -75, -65])
    assert_allclose(longitude_edges(np.array([10.0, 20, 30, 40])), [5, 15, 25, 35, 45])
    assert_allclose(longitude_edges(np.array([-10.0, 0, 10, 20])), [-15, -5, 5, 15, 25])


GLOBAL = {
    "5.625 degrees": EquiangularGrid(kind="equiangular"),
    "1.5 degrees with poles": EquiangularGrid(
        kind="equiangular", longitudes=240, latitudes=121, poles=True
    ),
    "few cells": EquiangularGrid(kind="equiangular", longitudes=2, latitudes=2),
    "poles alone": EquiangularGrid(kind="equiangular", longitudes=3, latitudes=2, poles=True),
    "gaussian": GaussianGrid(kind="gaussian", longitudes=96, latitudes=48),
    "small gaussian": GaussianGrid(kind="gaussian", longitudes=4, latitudes=2),
    "uneven": OwnGrid(kind="own", longitude=(10, 30, 200), latitude=(-60, 10, 50)),
}


@pytest.mark.parametrize("name", GLOBAL)
def test_a_global_grid_is_known_by_its_coordinates(name):
    grid = GLOBAL[name].grid(None)
    rounded = Grid(
        *(axis.astype(np.float32).astype(float) for axis in (grid.longitude, grid.latitude))
    )
    assert grid.is_global
    assert rounded.is_global
    assert reaches_poles(grid.latitude[::-1])


@pytest.mark.parametrize("name", GLOBAL)
def test_a_global_grids_weights_are_those_of_cells_closed_at_the_poles(name):
    latitude = GLOBAL[name].grid(None).latitude
    edges = np.concatenate([[-90.0], (latitude[1:] + latitude[:-1]) / 2, [90.0]])
    area = np.diff(np.sin(np.deg2rad(edges)))
    np.testing.assert_array_equal(area_weights(latitude), area / area.mean())


@pytest.mark.parametrize(
    ("longitude", "latitude", "round_the_globe", "to_the_poles"),
    [
        (np.arange(0.0, 360, 10), np.arange(30.0, 65, 5), True, False),
        (np.arange(10.0, 45, 5), np.arange(-87.5, 90, 5), False, True),
        (np.arange(-10.0, 25, 2.5), np.arange(2.5, 90, 5), False, False),  # one hemisphere
        (np.arange(0.0, 350, 10), np.arange(-82.5, 85, 5), False, False),  # one cell is lacking
        (np.array([0.0, 10]), np.array([-5.0, 5]), False, False),
        (np.array([0.0, 10, 20, 180, 190, 200]), np.arange(-60.0, 61, 10), False, False),
    ],
)
def test_a_region_is_known_by_its_coordinates(longitude, latitude, round_the_globe, to_the_poles):
    assert closes_circle(longitude) is round_the_globe
    assert reaches_poles(latitude) is to_the_poles
    assert not Grid(longitude, latitude).is_global


def test_a_region_over_greenwich_is_not_torn_in_two():
    degrees = np.array([350.0, 355, 0, 5, 10])
    assert_allclose(without_break(degrees), [-10, -5, 0, 5, 10])
    assert_allclose(without_break(np.array([-10.0, -5, 0, 5])), [-10, -5, 0, 5])
    assert_allclose(without_break(np.array([170.0, 175, -180, -175])), [170, 175, 180, 185])
    assert_allclose(without_break(np.array([350.0, 355])), [350, 355])
    globe = np.arange(-180.0, 180, 45)
    np.testing.assert_array_equal(without_break(globe), globe % 360)


def test_one_cell_is_the_globe():
    assert_allclose(latitude_edges(np.array([0.0])), [90, -90])
    assert_allclose(longitude_edges(np.array([10.0])), [-170, 190])
    assert_allclose(area_weights(np.array([45.0])), 1)


def test_weatherbench_grids():
    coarse = EquiangularGrid(kind="equiangular").grid(None)
    assert_allclose(coarse.latitude, np.arange(-87.1875, 90, 5.625))
    assert_allclose(coarse.longitude, np.arange(0, 360, 5.625))
    finer = EquiangularGrid(kind="equiangular", longitudes=240, latitudes=121, poles=True)
    assert_allclose(finer.grid(None).latitude, np.arange(-90, 90.1, 1.5))
    assert finer.grid(None).shape == (240, 121)


def test_gaussian_latitudes_are_those_of_the_models():
    t31 = GaussianGrid(kind="gaussian", longitudes=96, latitudes=48).grid(None)
    assert_allclose(t31.latitude[-3:], [79.777, 83.479, 87.159], atol=1e-3)
    assert_allclose(t31.latitude, -t31.latitude[::-1])


def test_grids_are_the_same_to_the_precision_of_coordinates():
    one = GaussianGrid(kind="gaussian", longitudes=8, latitudes=6).grid(None)
    own = OwnGrid(
        kind="own",
        longitude=tuple(one.longitude),
        latitude=tuple(one.latitude.astype(np.float32).tolist()),
    )
    assert own.grid(None).same_as(one)
    assert (
        not EquiangularGrid(kind="equiangular", longitudes=8, latitudes=6).grid(None).same_as(one)
    )
    assert not EquiangularGrid(kind="equiangular").grid(None).same_as(one)


@pytest.mark.parametrize(
    ("longitude", "latitude", "message"),
    [
        ([0, 90, 90], [-45, 45], "ascending order"),
        ([0, 180, 360], [-45, 45], "0 to below 360"),
        ([0, 180], [45, -45], "ascending order"),
        ([0, 180], [-45, 91], "-90 to 90"),
        ([0], [-45, 45], "at least 2"),
    ],
)
def test_an_own_grid_is_checked(longitude, latitude, message):
    with pytest.raises(ConfigError, match=message):
        from_tree(OwnGrid, {"kind": "own", "longitude": longitude, "latitude": latitude}, "run")


def test_three_bands_by_hand():
    assert_allclose(area_weights(np.array([-60.0, 0.0, 60.0])), [0.75, 1.5, 0.75])


def test_the_rows_of_a_region_by_hand():
    # From the equator to 60 degrees north in two rows: 0 to 30, and 30 to 60.
    sines = np.array([0.5, np.sqrt(3) / 2 - 0.5])
    assert_allclose(area_weights(np.array([15.0, 45.0])), sines / sines.mean())
    weights = area_weights(np.arange(30.0, 61, 2.5))
    assert weights.argmax() == 0
    assert weights.max() / weights.min() < 2  # no row stands for what lies beyond the region


def test_cells_centred_on_the_poles_have_an_area():
    weights = area_weights(np.linspace(-90, 90, 5))
    cap = 1 - np.sin(np.deg2rad(67.5))
    assert_allclose(weights[[0, -1]], 5 * cap / 2)
    assert weights.argmax() == 2


@pytest.mark.parametrize(
    "latitude", [np.linspace(-90, 90, 121), np.arange(-87.1875, 90, 5.625), np.arange(89, -90, -2)]
)
def test_a_weighted_mean_is_the_integral_over_the_sphere(latitude):
    weights = area_weights(latitude.astype(np.float64))
    # mean of cos² over the sphere is 2/3; of sin, 0
    assert_allclose((weights * np.cos(np.deg2rad(latitude)) ** 2).mean(), 2 / 3, atol=2e-3)
    assert_allclose((weights * np.sin(np.deg2rad(latitude))).mean(), 0, atol=1e-12)


def test_a_band_has_exactly_its_share_of_the_sphere():
    latitude = np.arange(-87.1875, 90, 5.625)
    north_of_30 = area_weights(latitude)[latitude > 28.125].sum() / len(latitude)
    assert_allclose(north_of_30, (1 - np.sin(np.deg2rad(28.125))) / 2)


@given(st.lists(st.integers(-9000, 9000), min_size=2, max_size=30, unique=True))
def test_weights_have_mean_one_and_do_not_depend_on_the_direction(hundredths):
    ascending = np.sort(np.array(hundredths)) / 100
    weights = area_weights(ascending)
    assert_allclose(weights.mean(), 1)
    assert_allclose(area_weights(ascending[::-1]), weights[::-1])


@given(st.lists(st.integers(-9000, 9000), min_size=2, max_size=30, unique=True))
def test_each_cell_holds_its_centre(hundredths):
    ascending = np.sort(np.array(hundredths)) / 100
    edges = latitude_edges(ascending)
    assert (np.diff(edges) > 0).all()
    assert (edges[:-1] <= ascending).all()
    assert (ascending <= edges[1:]).all()
    assert np.abs(edges).max() <= 90
