import math

import numpy as np
import pytest
import torch
import xarray as xr
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from sparta_ray.base.grids import area_weights
from sparta_ray.metrics import fields as field_metrics
from sparta_ray.metrics.field_comparison import FieldComparison
from sparta_ray.metrics.fields import (
    ACC,
    FIELD_METRICS,
    PSNR,
    RMSE,
    RRMSE,
    SSIM,
    AreaWeightedRRMSE,
    Bias,
    PooledPSNR,
    StandardisedError,
)
from sparta_ray.metrics.metric import UndefinedError

VARIABLES = ["2m_temperature", "geopotential@850", "specific_humidity@850"]
LATITUDE = np.array([-72.0, -36.0, 0.0, 36.0, 72.0])
DIMS = ("window", "variable", "longitude", "latitude")


def field(values, *dims, latitude=LATITUDE):
    coords = {"variable": VARIABLES, "latitude": latitude}
    array = np.asarray(values, dtype=np.float32)
    return xr.DataArray(array, dims=dims, coords={n: coords[n] for n in dims if n in coords})


def single(*values):
    """Return fields of one variable on a grid of one point."""
    array = np.array(values, dtype=np.float32)[:, None, None, None]
    return xr.DataArray(array, dims=DIMS, coords={"variable": VARIABLES[:1], "latitude": [0.0]})


def score(metric, *given, **more):
    """Return the score over all cases; of each variable, where it has them."""
    sums = metric.statistics(FieldComparison(*given, **more)).sum(axis=1)
    return metric.result(np.moveaxis(sums, 0, -1))


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    truth = rng.normal(5, 1, (4, 3, 7, 5))
    return field(truth + rng.normal(0.3, 1, truth.shape), *DIMS), field(truth, *DIMS)


def test_rrmse_by_hand():
    assert score(RRMSE(), single(2, 4), single(1, 3)) == pytest.approx(50.0)


def test_a_regions_error_is_weighed_by_the_area_within_it():
    # Two rows of equal height from the equator to 60 degrees north; only the northern one is wrong.
    latitude = np.array([15.0, 45.0])
    truth = field(np.full((1, 3, 4, 2), 10), *DIMS, latitude=latitude)
    wrong = field(np.tile([10, 14], (1, 3, 4, 1)), *DIMS, latitude=latitude)
    south, north = 0.5, np.sqrt(3) / 2 - 0.5  # of the sines
    expected = 4 * np.sqrt(north / (north + south))
    assert score(RMSE(), wrong, truth) == pytest.approx(np.full(3, expected))
    assert score(AreaWeightedRRMSE(), wrong, truth) == pytest.approx(10 * expected)
    assert score(Bias(), wrong, truth) == pytest.approx(np.full(3, 4 * north / (north + south)))


def test_rrmse_pools_everything(pair):
    forecast, truth = pair
    f, o = forecast.values.astype(float), truth.values.astype(float)
    expected = 100 * math.sqrt(((f - o) ** 2).mean()) / o.mean()
    assert score(RRMSE(), forecast, truth) == pytest.approx(expected)


@pytest.mark.parametrize("metric", [RRMSE(), AreaWeightedRRMSE()])
@pytest.mark.parametrize("truth", [(2, -2), (-1, -3)])
def test_rrmse_of_fields_whose_mean_is_not_above_zero_has_no_value(metric, truth):
    sums = metric.statistics(FieldComparison(single(1, -1), single(*truth)))
    assert np.isnan(metric.result(sums.sum(axis=1)))
    assert "not above 0" in metric.why_undefined(sums.sum(axis=1))
    assert metric.why_undefined(np.array([2.0, 4.0, 2.0])) == ""


def test_rmse_and_bias_equal_a_loop_over_points(pair):
    forecast, truth = pair
    errors, biases = score(RMSE(), forecast, truth), score(Bias(), forecast, truth)
    assert errors.shape == biases.shape == (3,)
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
        assert errors[v] == pytest.approx(math.sqrt(squares / total), rel=1e-5)
        assert biases[v] == pytest.approx(signed / total, rel=1e-4)


def test_the_order_of_latitudes_and_of_dimensions_does_not_matter(pair):
    forecast, truth = pair
    flipped = score(RMSE(), forecast[..., ::-1], truth[..., ::-1])
    np.testing.assert_allclose(flipped, score(RMSE(), forecast, truth))
    turned = score(RMSE(), forecast.transpose("latitude", ...), truth)
    np.testing.assert_array_equal(turned, score(RMSE(), forecast, truth))


def test_acc_is_one_for_scaled_anomalies_and_minus_one_for_opposite_ones(pair):
    _, truth = pair
    climatology = truth.mean("window").expand_dims(window=4)
    anomaly = truth - climatology
    for factor, expected in ((0.5, 1), (-2, -1)):
        found = score(ACC(), climatology + factor * anomaly, truth, climatology=climatology)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_acc_of_a_variable_without_an_anomaly_has_no_value(pair):
    forecast, truth = pair
    climatology = truth.mean("window").expand_dims(window=4).copy()
    forecast[2, 1] = climatology[2, 1]
    sums_PV = ACC().statistics(FieldComparison(forecast, truth, None, climatology)).sum(axis=1)
    reasons = [ACC().why_undefined(sums_P) for sums_P in sums_PV.T]
    assert [bool(reason) for reason in reasons] == [False, True, False]
    assert "equals the climatology" in reasons[1]


def test_psnr_by_hand():
    limits = field([0, 10, 0], "variable"), field([2, 20, 1], "variable")
    truth = field([1, 15, 0.5], "variable").expand_dims(window=1, longitude=1, latitude=[0.0])
    forecast = field([1.2, 16, 0.6], "variable")  # 0.1 of each range
    forecast = forecast.expand_dims(window=1, longitude=1, latitude=[0.0])
    assert score(PSNR(), forecast, truth, limits) == pytest.approx(20, abs=1e-4)
    for metric in (PSNR(), PooledPSNR()):
        same = metric.statistics(FieldComparison(truth, truth, limits)).sum(axis=1)
        assert np.isnan(metric.result(same))
        assert "infinite" in metric.why_undefined(same)


def test_psnr_is_the_mean_over_images_as_torchmetrics_gives_it(pair):
    forecast, truth = pair
    forecast[0] = truth[0] + 0.01  # one image much better than the others
    limits = field([0, 0, 0], "variable"), field([10, 10, 10], "variable")
    images = [torch.from_numpy(side.values / 10) for side in (forecast, truth)]
    each = peak_signal_noise_ratio(*images, data_range=1.0, dim=(1, 2, 3), reduction="none")
    assert score(PSNR(), forecast, truth, limits) == pytest.approx(float(each.mean()), rel=1e-5)
    pooled = float(peak_signal_noise_ratio(*images, data_range=1.0))
    assert score(PooledPSNR(), forecast, truth, limits) == pytest.approx(pooled, rel=1e-5)
    assert each.mean() > pooled + 5


def test_ssim_equals_torchmetrics_on_scaled_images_of_large_numbers(monkeypatch):
    monkeypatch.setattr(field_metrics, "IMAGES_AT_ONCE", 4)  # ragged parts
    rng = np.random.default_rng(1)
    latitude = np.linspace(-80, 80, 11)
    unit = rng.random((11, 3, 13, 11))
    offset = np.array([200, 10_000, 0.0])[:, None, None]
    width = np.array([100, 5_000, 0.02])[:, None, None]
    near = np.clip(unit + rng.normal(0, 0.1, unit.shape), 0, 1)
    truth = field(unit * width + offset, *DIMS, latitude=latitude)
    forecast = field(near * width + offset, *DIMS, latitude=latitude)
    limits = field(offset.ravel(), "variable"), field((offset + width).ravel(), "variable")
    expected = structural_similarity_index_measure(
        torch.tensor(near).float(), torch.tensor(unit).float(), data_range=1.0
    )
    assert score(SSIM(), forecast, truth, limits) == pytest.approx(float(expected), abs=1e-3)
    assert score(SSIM(), truth, truth, limits) == pytest.approx(1, abs=1e-5)


def test_ssim_needs_a_grid_as_large_as_its_window(pair):
    limits = field([0, 0, 0], "variable"), field([10, 10, 10], "variable")
    with pytest.raises(UndefinedError, match="grid of 7x5 is smaller than its window of 11"):
        score(SSIM(), *pair, limits)


def test_standardised_error_is_summed_over_variables(pair):
    forecast, truth = pair
    std = np.array([1.0, 2.0, 10.0])
    expected = (((forecast - truth) ** 2).mean(("window", "longitude", "latitude")) / std**2).sum()
    assert score(StandardisedError(), forecast, truth, std=std) == pytest.approx(float(expected))
    holed = truth.copy()
    holed[1, 2] = np.nan  # this case does not count
    kept = [0, 2, 3]
    found = score(StandardisedError(), forecast, holed, std=std)
    expected = score(StandardisedError(), forecast[kept], truth[kept], std=std)
    assert found == pytest.approx(float(expected))


def test_nan_is_an_error_that_names_the_variable(pair):
    forecast, truth = pair
    holed = forecast.copy()
    holed[0, 1, 0, 0] = np.nan
    infinite = truth.copy()
    infinite[0, 1, 0, 0] = np.inf
    with pytest.raises(ValueError, match=r"geopotential@850 are NaN"):
        FieldComparison(holed, truth)
    with pytest.raises(ValueError, match=r"geopotential@850 are NaN or infinite"):
        FieldComparison(forecast, infinite)


def test_nothing_is_scored_where_the_truth_is_missing(pair):
    forecast, truth = pair
    climatology = truth.mean("window").expand_dims(window=4) + 0.2
    missing = np.random.default_rng(2).random(truth.shape) < 0.4
    missing[1, 2] = True  # a whole variable of a case
    holed = truth.where(~missing)
    f, o, c = (x.values.astype(float) for x in (forecast, truth, climatology))
    w = np.broadcast_to(area_weights(LATITUDE), o.shape)
    error, w_present = np.where(missing, 0, f - o), np.where(missing, 0, w)
    around = (0, 2, 3)
    for metric, power in ((Bias(), 1), (RMSE(), 2)):
        expected = (w_present * error**power).sum(around) / w_present.sum(around)
        found = score(metric, forecast, holed)
        np.testing.assert_allclose(found, expected ** (1 / power), rtol=1e-6)
    level = o[~missing].mean()
    expected = 100 * np.sqrt((error[~missing] ** 2).mean()) / level
    assert score(RRMSE(), forecast, holed) == pytest.approx(expected)
    limits = field([0, 0, 0], "variable"), field([10, 10, 10], "variable")
    expected = -10 * np.log10((error[~missing] ** 2).mean() / 100)
    assert score(PooledPSNR(), forecast, holed, limits) == pytest.approx(expected)
    each = [(e[~m] ** 2).mean() / 100 for e, m in zip(error, missing, strict=True)]
    expected = -10 * np.log10(each).mean()
    assert score(PSNR(), forecast, holed, limits) == pytest.approx(expected)
    holed[3] = np.nan  # a case without any truth does not count
    expected = -10 * np.log10(each[:3]).mean()
    assert score(PSNR(), forecast, holed, limits) == pytest.approx(expected)
    holed = truth.where(~missing)

    place = (2, 3)
    a, b = np.where(missing, 0, f - c), np.where(missing, 0, o - c)
    size = np.sqrt((w * a**2).sum(place) * (w * b**2).sum(place))
    each = np.divide((w * a * b).sum(place), size, where=size > 0, out=np.full((4, 3), np.nan))
    found = score(ACC(), forecast, holed, climatology=climatology)
    np.testing.assert_allclose(found, np.nanmean(each, axis=0))
    filled = forecast.where(missing, truth)
    big = [xr.concat([x] * 3, "longitude") for x in (filled, holed)]
    big = [xr.concat([x] * 3, "latitude") for x in big]
    assert score(SSIM(), *big, limits) == pytest.approx(1, abs=1e-5)


def test_fields_on_different_grids_are_refused(pair):
    forecast, truth = pair
    with pytest.raises(ValueError, match="latitude"):
        FieldComparison(forecast, truth.assign_coords(latitude=LATITUDE + 0.5))
    with pytest.raises(ValueError, match="variable"):
        FieldComparison(forecast, truth.isel(variable=[0, 2, 1]))


@pytest.mark.parametrize("metric", [PSNR(), PooledPSNR(), SSIM()])
def test_images_of_a_variable_without_range_have_no_score(metric):
    truth = field(np.ones((2, 3, 12, 11)), *DIMS, latitude=np.linspace(-80, 80, 11))
    limits = field([0, 0, 0], "variable"), field([1, 0, 1], "variable")
    with pytest.raises(UndefinedError, match="geopotential@850 is constant"):
        score(metric, truth + 1, truth, limits)


@pytest.mark.parametrize("metric", FIELD_METRICS, ids=lambda metric: metric.key)
def test_sums_of_cases_are_those_of_parts_of_the_cases(metric):
    rng = np.random.default_rng(3)
    latitude = np.linspace(-80, 80, 11)
    forecast, truth, climatology = (
        field(rng.normal(5, 1, (5, 3, 12, 11)), *DIMS, latitude=latitude) for _ in range(3)
    )
    limits = field([0, 0, 0], "variable"), field([10, 10, 10], "variable")
    std = np.array([1.0, 2.0, 3.0])

    def sums(cases):
        fields = (x[cases] for x in (forecast, truth))
        return metric.statistics(FieldComparison(*fields, limits, climatology[cases], std))

    parts = np.concatenate([sums(slice(0, 2)), sums(slice(2, 5))], axis=1)
    np.testing.assert_allclose(sums(slice(None)), parts, rtol=1e-6)
