"""The sums of windows make the scores that the functions of whole fields give."""

import numpy as np
import pytest
import xarray as xr

from sparta_ray.metrics.case_sums import Cases, combine, field_sums
from sparta_ray.metrics.records import Subject
from sparta_ray.metrics.scores import acc, bias, psnr, rmse, rrmse, ssim

LABELS = ["2m_temperature", "geopotential@850", "specific_humidity@850"]
LATITUDE = np.linspace(-84, 84, 12)


def fields(seed, level=270.0):
    values = level + np.random.default_rng(seed).normal(size=(6, 3, 14, 12))
    coords = {"variable": LABELS, "longitude": np.arange(14) * 20.0, "latitude": LATITUDE}
    return xr.DataArray(values, dims=("window", "variable", "longitude", "latitude"), coords=coords)


@pytest.fixture(params=[False, True], ids=["complete", "with gaps"])
def truth(request):
    found = fields(0)
    if request.param:
        found[1, 0, 3:6] = np.nan
        found[4, 2] = np.nan  # a whole variable of a window
    return found


def test_sums_make_the_scores_of_whole_fields(truth):
    forecast, climatology = fields(1), fields(2)
    limits = tuple(
        xr.DataArray(np.full(3, end), dims="variable", coords={"variable": LABELS})
        for end in (260.0, 280.0)
    )
    windows = Cases(Subject("forecast", "sparta", "s"), np.arange(6.0), lead_days=3)
    found = {
        (f.score.metric, f.score.variable): f
        for f in field_sums(windows, forecast, truth, limits, climatology)
    }
    whole = {
        "rmse": rmse(forecast, truth),
        "bias": bias(forecast, truth),
        "acc": acc(forecast, truth, climatology),
    }
    for metric, by_variable in whole.items():
        for label in LABELS:
            assert found[metric, label].score.value == pytest.approx(
                float(by_variable.sel(variable=label))
            )
    joint = {
        "rrmse": rrmse(forecast, truth),
        "ssim": ssim(forecast, truth, *limits),
        "psnr": psnr(forecast, truth, *limits),
    }
    for metric, value in joint.items():
        assert found[metric, None].score.value == pytest.approx(float(value))
    for one in found.values():
        assert one.score.value == float(combine(one.form, one.sums.sum(axis=1)))
        assert one.score.lead_days == 3


def test_area_weights_make_poles_count_little():
    truth = fields(0)
    at_pole = truth.copy()
    at_pole[..., [0, -1]] += 5
    limits = (
        truth.min(("window", "longitude", "latitude")),
        truth.max(("window", "longitude", "latitude")),
    )
    windows = Cases(Subject("forecast", "sparta"), np.arange(6.0))
    values = {f.score.metric: f.score.value for f in field_sums(windows, at_pole, truth, limits)}
    assert 0 < values["area-weighted rrmse"] < 0.5 * values["rrmse"]


def test_forms_by_hand():
    assert combine("mean", np.array([6.0, 3.0])) == 2
    assert combine("root mean", np.array([12.0, 3.0])) == 2
    assert combine("decibel", np.array([1.0, 100.0])) == pytest.approx(20)
    assert combine("relative root mean", np.array([2.0, 4.0, 2.0])) == 50
    sums = np.array([[1 + 9, 1 + 3, 2.0], [4 + 4, 2 + 2, 2.0]])
    assert combine("standard deviation", sums).tolist() == [1.0, 0.0]
