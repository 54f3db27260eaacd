import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sparta_ray.grids import area_weights, latitude_edges


def test_edges_lie_half_way_and_end_at_the_poles():
    assert_allclose(latitude_edges(np.array([-60.0, 0.0, 60.0])), [-90, -30, 30, 90])
    assert_allclose(latitude_edges(np.array([60.0, 0.0, -60.0])), [90, 30, -30, -90])


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
