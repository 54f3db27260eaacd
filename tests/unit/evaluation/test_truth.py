import numpy as np
import pytest
import xarray as xr

from sparta_ray.evaluation import truth as truth_module
from sparta_ray.metrics.records import Subject
from sparta_ray.metrics.scoring import field_scores


def means(fields):
    """Return the values of spatially constant fields, (window, variable)."""
    assert float(fields.std(("longitude", "latitude")).max()) < 1e-3
    return fields.mean(("longitude", "latitude")).transpose("window", "variable")


def test_fields_are_those_of_the_days_asked(setup, offsets):
    fields = setup.truth.fields(np.array([499, 3, 366]))
    assert fields.dims == ("window", "variable", "longitude", "latitude")
    assert fields.sizes == {"window": 3, "variable": 3, "longitude": 64, "latitude": 32}
    for row, day in enumerate((499, 3, 366)):
        for label, offset in offsets.items():
            assert (fields.sel(variable=label)[row] == offset + day).all()


def test_the_test_days_are_the_downstream_test_part(setup):
    assert setup.test_days.tolist() == list(range(460, 500))


def test_climatology_is_that_of_the_same_day_a_year_before(setup, offsets):
    days = np.array([460, 470, 499])  # 1980, whose training year is 1979
    found = means(setup.truth.climatology(days))
    expected = days[:, None] - 365 + np.array(list(offsets.values()))
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_climatology_and_mean_align_with_the_truth(setup):
    days = np.array([480, 490])
    truth = setup.truth.fields(days)
    for other in (setup.truth.climatology(days), setup.truth.mean(days)):
        assert other.dims == truth.dims
        xr.align(other, truth, join="exact")


def test_mean_is_that_of_the_training_days_alone(setup, offsets):
    found = means(setup.truth.mean(np.array([460, 461])))
    expected = np.array([[182 + offset for offset in offsets.values()]] * 2)  # days 0 to 364
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_baselines_are_summed_a_few_training_days_at_a_time(setup, monkeypatch):
    read, most = [], 50
    monkeypatch.setattr(truth_module, "DAYS_AT_ONCE", most)
    whole = truth_module.Truth(setup.run, setup.store)
    fields = truth_module.Truth.fields

    def fields_of(self, days):
        read.append(days)
        return fields(self, days)

    monkeypatch.setattr(truth_module.Truth, "fields", fields_of)
    days = np.array([460, 499])
    np.testing.assert_allclose(whole.climatology(days), setup.truth.climatology(days), rtol=1e-7)
    np.testing.assert_allclose(whole.mean(days), setup.truth.mean(days), rtol=1e-7)
    assert max(map(len, read)) == most
    assert np.concatenate(read).tolist() == list(range(365))


def test_limits_are_those_of_the_training_days_alone(setup, offsets):
    minimum, maximum = setup.truth.limits
    for label, offset in offsets.items():
        assert float(minimum.sel(variable=label)) == offset
        assert float(maximum.sel(variable=label)) == offset + 364


def test_scores_of_fields_three_too_high(setup, offsets, value_of):
    truth = setup.truth.fields(np.array([460, 464]))
    subject = Subject("forecast", "sparta", "lookback30_stride1", seed=0)
    scores = list(field_scores(subject, truth + 3, truth, lead_days=25))
    for label in offsets:
        assert value_of(scores, "rmse", variable=label, lead_days=25) == pytest.approx(3)
        assert value_of(scores, "bias", variable=label, lead_days=25) == pytest.approx(3)
    level = np.mean(list(offsets.values())) + 462
    found = value_of(scores, "rrmse", lead_days=25)
    assert found == pytest.approx(100 * 3 / level)
    units = {(score.metric, score.variable): score.units for score in scores}
    assert units == {
        ("rrmse", None): "%",
        ("rmse", "2m_temperature"): "K",
        ("rmse", "geopotential@850"): "m2 s-2",
        ("rmse", "u_component_of_wind@850"): "m s-1",
        ("bias", "2m_temperature"): "K",
        ("bias", "geopotential@850"): "m2 s-2",
        ("bias", "u_component_of_wind@850"): "m s-1",
    }
    named = {(s.task, s.model, s.setting, s.seed, s.lead_days) for s in scores}
    assert named == {("forecast", "sparta", "lookback30_stride1", 0, 25)}
