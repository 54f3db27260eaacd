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
    OwnGrid,
    area_weights,
    latitude_edges,
    longitude_edges,
)


def test_edges_lie_half_way_and_end_at_the_poles():
    assert_allclose(latitude_edges(np.array([-60.0, 0.0, 60.0])), [-90, -30, 30, 90])
    assert_allclose(latitude_edges(np.array([60.0, 0.0, -60.0])), [90, 30, -30, -90])


def test_longitude_edges_go_round_the_globe():
    assert_allclose(longitude_edges(np.array([0.0, 90, 180, 270])), [-45, 45, 135, 225, 315])
    assert_allclose(longitude_edges(np.array([10.0, 30, 200])), [-75, 20, 115, 285])


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


@given(st.lists(st.floats(-90, 90), min_size=2, max_size=30, unique=True))
def test_weights_have_mean_one_and_do_not_depend_on_the_direction(latitudes):
    ascending = np.sort(np.array(latitudes))
    weights = area_weights(ascending)
    assert_allclose(weights.mean(), 1)
    assert_allclose(area_weights(ascending[::-1]), weights[::-1])
