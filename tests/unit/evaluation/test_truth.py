from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from sparta_ray.base.config import from_tree
from sparta_ray.base.grids import Grid
from sparta_ray.data.store import writer
from sparta_ray.data.store.layout import StoreLayout
from sparta_ray.data.store.statistics import Statistics
from sparta_ray.data.store.store import Store
from sparta_ray.evaluation import truth as truth_module
from sparta_ray.metrics.records import Subject
from sparta_ray.metrics.scoring import field_scores
from sparta_ray.run.settings import Run


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


def test_the_climatology_of_a_region_and_its_score_by_hand(make_store, value_of):
    region = Grid(np.arange(-10.0, 70, 2.5), np.array([30.0, 40, 50, 60]))
    path = make_store(days=100, training_days=60, region=region)
    tree = {
        "data": {"store": path, "split": {"train": 0.6, "validation": 0.3}},
        "evaluation": {"climatology_half_window": 200},
    }
    truth, days = truth_module.Truth(from_tree(Run, tree, "test"), Store(path)), np.array([90, 97])
    true = truth.fields(days)
    np.testing.assert_array_equal(true.longitude, region.longitude)
    training = truth.store.read(np.arange(60)).astype(np.float64)
    climatology = truth.climatology(days)
    for row, day in enumerate(days):
        weights = 1 - (day - np.arange(60)) / 200
        by_hand = np.tensordot(weights / weights.sum(), training, axes=1)
        np.testing.assert_allclose(climatology[row], by_hand, rtol=1e-6)
    scores = list(field_scores(Subject("forecast", "climatology", "s"), climatology, true))
    sines = np.diff(np.sin(np.deg2rad([25, 35, 45, 55, 65])))
    squares = (climatology - true).values.astype(np.float64) ** 2
    by_hand = np.sqrt((squares * sines).sum(axis=(0, 2, 3)) / (2 * 32 * sines.sum()))
    for label, expected in zip(truth.store.variables, by_hand, strict=True):
        assert value_of(scores, "rmse", variable=label) == pytest.approx(expected, rel=1e-6)


def repeating(path, setup, step):
    """Return the truth of two years, three quarters of which train, that repeats every day.

    It is a daily cycle of 8 K of a temperature; with steps of 5 days there is none left of it.
    """
    unit = "D" if step % 24 == 0 else "h"
    start, stop = (np.datetime64(day, unit) for day in ("1979-01-01", "1981-01-01"))
    times = np.arange(start, stop, np.timedelta64(step, "h").astype(f"m8[{unit}]"))
    hours = pd.DatetimeIndex(times).hour.to_numpy()
    values = 280 + 8 * np.cos(2 * np.pi * hours / 24)
    grid = (6, 4)
    fields = np.broadcast_to(values[:, None, None, None], (len(times), 1, *grid)).astype("f4")
    latitude = -90 + (np.arange(4) + 0.5) * 45.0
    longitude = np.arange(6) * 60.0
    layout = StoreLayout(times, ("2m_temperature",), ("K",), longitude, latitude, {})
    writer.write_template(path, layout)
    for shard in range(layout.shards):
        first, last = layout.shard_days(shard)
        writer.write_shard(path, first, fields[first:last])
    training = len(times) * 3 // 4
    writer.mark_complete(path, Statistics.of(fields[:training]), training, "repeating")
    split = replace(setup.run.data.split, train=0.75, validation=0.1)
    evaluation = replace(setup.run.evaluation, climatology_half_window=5)
    data = replace(setup.run.data, split=split)
    run = replace(setup.run, data=data, evaluation=evaluation)
    return truth_module.Truth(run, Store(path))


@pytest.mark.parametrize("step", [1, 6, 12, 24, 120])
def test_climatology_of_a_truth_that_repeats_is_right_for_every_step(tmp_path, setup, step):
    truth = repeating(str(tmp_path / "repeating.zarr"), setup, step)
    days = np.arange(len(truth.store) - 60, len(truth.store))
    errors = truth.fields(days) - truth.climatology(days)
    assert float(np.sqrt((errors**2).mean())) == pytest.approx(0, abs=1e-4)


def test_persistence_of_six_hourly_steps_misses_the_daily_cycle(tmp_path, setup):
    truth = repeating(str(tmp_path / "repeating.zarr"), setup, step=6)
    days = np.arange(2500, 2900)
    errors = {
        lead: float(np.sqrt(((truth.fields(days + lead) - truth.fields(days)) ** 2).mean()))
        for lead in (1, 2, 4)
    }
    assert errors == {1: pytest.approx(8), 2: pytest.approx(np.sqrt(128)), 4: 0}
