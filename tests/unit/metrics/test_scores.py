import math

import numpy as np
import pytest
import torch
import xarray as xr
from torchmetrics.functional.image import structural_similarity_index_measure

from sparta_ray.base.grids import area_weights
from sparta_ray.metrics import scores
from sparta_ray.metrics.scores import acc, bias, psnr, rmse, rrmse, ssim

VARIABLES = ["2m_temperature", "geopotential@850", "specific_humidity@850"]
LATITUDE = np.array([-72.0, -36.0, 0.0, 36.0, 72.0])


def field(values, *dims, latitude=LATITUDE):
    coords = {"variable": VARIABLES, "latitude": latitude}
    array = np.asarray(values, dtype=np.float32)
    return xr.DataArray(array, dims=dims, coords={n: coords[n] for n in dims if n in coords})


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    shape = (4, 3, 7, 5)
    dims = ("window", "variable", "longitude", "latitude")
    truth = rng.normal(5, 1, shape)
    return field(truth + rng.normal(0.3, 1, shape), *dims), field(truth, *dims)


def test_rrmse_by_hand():
    truth, forecast = field([1, 3], "window"), field([2, 4], "window")
    assert float(rrmse(forecast, truth)) == pytest.approx(50.0)


def test_rrmse_pools_everything(pair):
    forecast, truth = pair
    result = rrmse(forecast, truth)
    assert result.dims == ()
    f, o = forecast.values.astype(float), truth.values.astype(float)
    expected = 100 * math.sqrt(((f - o) ** 2).mean()) / o.mean()
    assert float(result) == pytest.approx(expected)


def test_rrmse_of_standardised_fields_is_refused():
    with pytest.raises(ValueError, match="physical units"):
        rrmse(field([1, -1], "window"), field([2, -2], "window"))


def test_rmse_and_bias_equal_a_loop_over_points(pair):
    forecast, truth = pair
    errors, biases = rmse(forecast, truth), bias(forecast, truth)
    assert errors.dims == biases.dims == ("variable",)
    weights = area_weights(LATITUDE)
    for v in range(3):
        squares = signed = total = 0.0
        for w in range(4):
            for x in range(7):
                for y in range(5):
                    d = float(forecast[w, v, x, y]) - float(truth[w, v, x, y])
                    squares += weights[y] * d * d
                    signed += weights[y] * d
                    total += weights[y]
        assert float(errors[v]) == pytest.approx(math.sqrt(squares / total), rel=1e-5)
        assert float(biases[v]) == pytest.approx(signed / total, rel=1e-4)


def test_the_order_of_latitudes_does_not_matter(pair):
    forecast, truth = pair
    flipped = rmse(forecast[..., ::-1], truth[..., ::-1])
    xr.testing.assert_allclose(flipped, rmse(forecast, truth))


def test_truth_is_shared_by_samples(pair):
    forecast, truth = pair
    samples = xr.concat([forecast, forecast], dim="sample")
    xr.testing.assert_allclose(rrmse(samples, truth), rrmse(forecast, truth))
    xr.testing.assert_allclose(rmse(samples, truth), rmse(forecast, truth))


def test_acc_is_one_for_scaled_anomalies_and_minus_one_for_opposite_ones(pair):
    _, truth = pair
    climatology = truth.mean("window")
    anomaly = truth - climatology
    np.testing.assert_allclose(acc(climatology + 0.5 * anomaly, truth, climatology), 1, rtol=1e-5)
    np.testing.assert_allclose(acc(climatology - 2 * anomaly, truth, climatology), -1, rtol=1e-5)
    with pytest.raises(ValueError, match="climatology"):
        acc(climatology.expand_dims(window=4), truth, climatology)


def test_psnr_by_hand():
    minimum, maximum = field([0, 10, 0], "variable"), field([2, 20, 1], "variable")
    truth = field([1, 15, 0.5], "variable")
    forecast = field([1.2, 16, 0.6], "variable")  # 0.1 of each range
    assert float(psnr(forecast, truth, minimum, maximum)) == pytest.approx(20, abs=1e-4)
    assert float(psnr(truth, truth, minimum, maximum)) == math.inf


def test_ssim_equals_torchmetrics_on_scaled_images_of_large_numbers(monkeypatch):
    monkeypatch.setattr(scores, "IMAGES_AT_ONCE", 4)  # ragged parts
    rng = np.random.default_rng(1)
    latitude = np.linspace(-80, 80, 11)
    dims = ("window", "variable", "longitude", "latitude")
    unit = rng.random((11, 3, 13, 11))
    offset = np.array([200, 10_000, 0.0])[:, None, None]
    width = np.array([100, 5_000, 0.02])[:, None, None]
    near = np.clip(unit + rng.normal(0, 0.1, unit.shape), 0, 1)
    truth = field(unit * width + offset, *dims, latitude=latitude)
    forecast = field(near * width + offset, *dims, latitude=latitude)
    minimum = field(offset.ravel(), "variable")
    maximum = field((offset + width).ravel(), "variable")
    result = ssim(forecast, truth, minimum, maximum)
    expected = structural_similarity_index_measure(
        torch.tensor(near).float(), torch.tensor(unit).float(), data_range=1.0
    )
    assert float(result) == pytest.approx(float(expected), abs=1e-3)
    same = ssim(truth, truth, minimum, maximum)
    np.testing.assert_allclose(same, 1, atol=1e-5)


def test_nan_is_an_error_that_names_the_variable(pair):
    forecast, truth = pair
    holed = forecast.copy()
    holed[0, 1, 0, 0] = np.nan
    infinite = truth.copy()
    infinite[0, 1, 0, 0] = np.inf
    for score in (rrmse, rmse, bias):
        with pytest.raises(ValueError, match=r"geopotential@850 are NaN"):
            score(holed, truth)
        with pytest.raises(ValueError, match=r"geopotential@850 are NaN or infinite"):
            score(forecast, infinite)


def test_nothing_is_scored_where_the_truth_is_missing(pair):
    forecast, truth = pair
    climatology = truth.mean("window").expand_dims(window=4) + 0.2
    missing = np.random.default_rng(2).random(truth.shape) < 0.4
    missing[1, 2] = True  # a whole variable of a window
    holed = truth.where(~missing)
    f, o, c = (x.values.astype(float) for x in (forecast, truth, climatology))
    w = np.broadcast_to(area_weights(LATITUDE), o.shape)
    error, w_present = np.where(missing, 0, f - o), np.where(missing, 0, w)
    around = (0, 2, 3)
    for score, power in ((bias, 1), (rmse, 2)):
        expected = (w_present * error**power).sum(around) / w_present.sum(around)
        np.testing.assert_allclose(score(forecast, holed), expected ** (1 / power), rtol=1e-6)
    level = o[~missing].mean()
    expected = 100 * np.sqrt((error[~missing] ** 2).mean()) / level
    assert float(rrmse(forecast, holed)) == pytest.approx(expected)
    minimum, maximum = field([0, 0, 0], "variable"), field([10, 10, 10], "variable")
    expected = -10 * np.log10((error[~missing] ** 2).mean() / 100)
    assert float(psnr(forecast, holed, minimum, maximum)) == pytest.approx(expected)

    place = (2, 3)
    a, b = np.where(missing, 0, f - c), np.where(missing, 0, o - c)
    size = np.sqrt((w * a**2).sum(place) * (w * b**2).sum(place))
    each = np.divide((w * a * b).sum(place), size, where=size > 0, out=np.full((4, 3), np.nan))
    np.testing.assert_allclose(acc(forecast, holed, climatology), np.nanmean(each, axis=0))
    filled = forecast.where(missing, truth)
    big = [xr.concat([x] * 3, "longitude") for x in (filled, holed)]
    big = [xr.concat([x] * 3, "latitude") for x in big]
    np.testing.assert_allclose(ssim(*big, minimum, maximum), 1, atol=1e-5)


def test_fields_on_different_grids_are_refused(pair):
    forecast, truth = pair
    with pytest.raises(ValueError, match="latitude"):
        rmse(forecast, truth.assign_coords(latitude=LATITUDE + 0.5))
    with pytest.raises(ValueError, match="variable"):
        rrmse(forecast, truth.isel(variable=[0, 2, 1]))


def test_a_variable_without_range_is_refused(pair):
    forecast, truth = pair
    minimum, maximum = field([0, 0, 0], "variable"), field([1, 0, 1], "variable")
    with pytest.raises(ValueError, match="geopotential@850"):
        psnr(forecast, truth, minimum, maximum)
