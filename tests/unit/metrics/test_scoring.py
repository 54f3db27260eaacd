"""Fields are scored by every metric that applies, and what has no score is absent with a reason."""

import numpy as np
import pytest
import xarray as xr

from sparta_ray.metrics.case_sums import Cases, CaseSums
from sparta_ray.metrics.fields import FIELD_METRICS
from sparta_ray.metrics.records import Absent, Subject
from sparta_ray.metrics.scoring import field_scores, field_sums

LABELS = ["2m_temperature", "geopotential@850", "specific_humidity@850"]
LATITUDE = np.linspace(-84, 84, 12)
SUBJECT = Subject("forecast", "sparta", "s")
EACH = ("rmse", "bias", "acc")


def fields(seed, level=270.0):
    values = level + np.random.default_rng(seed).normal(size=(6, 3, 14, 12))
    coords = {"variable": LABELS, "longitude": np.arange(14) * 20.0, "latitude": LATITUDE}
    return xr.DataArray(values, dims=("window", "variable", "longitude", "latitude"), coords=coords)


def limits(low=260.0, high=280.0):
    coords = {"variable": LABELS}
    return tuple(
        xr.DataArray(np.full(3, end), dims="variable", coords=coords) for end in (low, high)
    )


def scored(forecast, truth, *context, **more):
    found = field_sums(
        Cases(SUBJECT, np.arange(6.0), lead_days=3), forecast, truth, *context, **more
    )
    return list(found)


def test_every_metric_scores_all_cases_by_the_sums_of_each():
    truth = fields(0)
    truth[1, 0, 3:6] = np.nan
    truth[4, 2] = np.nan  # a whole variable of a case
    found = scored(fields(1), truth, limits(), fields(2), np.ones(3))
    assert [(f.score.metric, f.score.variable) for f in found] == [
        (metric.key, variable)
        for metric in FIELD_METRICS
        for variable in (LABELS if metric.key in EACH else [None])
    ]
    for one in found:
        assert one.score.value == float(one.result(one.sums.sum(axis=1)))
        assert one.score.lead_days == 3
        assert one.days.tolist() == list(range(6))
    units = {(f.score.metric, f.score.variable): f.score.units for f in found}
    assert units["rrmse", None] == "%"
    assert units["rmse", "geopotential@850"] == "m2 s-2"
    assert units["acc", "geopotential@850"] == ""


def test_metrics_are_left_out_that_need_what_is_not_given():
    keys = {f.score.metric for f in scored(fields(1), fields(0))}
    assert keys == {"rrmse", "area-weighted rrmse", "rmse", "bias"}


def test_curves_show_the_same_numbers():
    forecast, truth = fields(1), fields(0)
    whole = {(f.score.metric, f.score.variable): f.score for f in scored(forecast, truth, limits())}
    curves = list(field_scores(SUBJECT, forecast, truth, lead_days=3))
    assert {score.metric for score in curves} == {"rrmse", "rmse", "bias"}
    assert all(score == whole[score.metric, score.variable] for score in curves)


def test_wind_alone_has_every_score_but_the_relative_ones():
    truth = fields(0, level=-3.0)
    found = scored(fields(1, level=-3.0), truth, limits(-10, 10), fields(2, level=-3.0))
    absent = [one for one in found if isinstance(one, Absent)]
    reason = (
        "the mean of the truth over all variables and points is not above 0, and a relative error "
        "divides by it"
    )
    assert absent == [
        Absent("forecast", "sparta", metric, reason) for metric in ("rrmse", "area-weighted rrmse")
    ]
    present = {one.score.metric for one in found if isinstance(one, CaseSums)}
    assert present == {"rmse", "bias", "acc", "ssim", "psnr", "pooled psnr"}
    curves = list(field_scores(SUBJECT, fields(1, level=-3.0), truth))
    assert [one for one in curves if isinstance(one, Absent)] == absent[:1]


def test_a_variable_without_any_truth_or_anomaly_is_absent_by_its_name():
    truth, forecast, climatology = fields(0), fields(1), fields(2)
    truth[:, 2] = np.nan
    forecast[0, 1] = climatology[0, 1]
    absent = [one for one in scored(forecast, truth, None, climatology) if isinstance(one, Absent)]
    nothing = "specific_humidity@850: there is no true value to compare with"
    assert [(one.metric, one.reason) for one in absent if one.metric != "acc"] == [
        ("rmse", nothing),
        ("bias", nothing),
    ]
    reasons = [one.reason for one in absent if one.metric == "acc"]
    assert reasons[0].startswith("geopotential@850: there is a case without an anomaly")
    assert reasons[1] == nothing


def test_what_a_metric_cannot_do_is_absent():
    found = {
        f.metric: f.reason
        for f in scored(fields(1), fields(0), limits(260, 260))
        if isinstance(f, Absent)
    }
    assert found.keys() == {"ssim", "psnr", "pooled psnr"}
    assert found["psnr"].startswith("2m_temperature, geopotential@850, specific_humidity@850 is")


def test_area_weights_make_poles_count_little():
    truth = fields(0)
    at_pole = truth.copy()
    at_pole[..., [0, -1]] += 5
    values = {f.score.metric: f.score.value for f in scored(at_pole, truth)}
    assert 0 < values["area-weighted rrmse"] < 0.5 * values["rrmse"]


@pytest.mark.parametrize("metric", FIELD_METRICS, ids=lambda metric: metric.key)
def test_metrics_say_what_they_are(metric):
    assert metric.label
    assert metric.meaning.endswith(".")
    assert metric.better in ("lower", "higher", "nearer zero")
