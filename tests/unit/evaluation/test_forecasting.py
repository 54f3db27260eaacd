"""Forecasts of days whose fields tell which day they are; computed again here, by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sparta_ray.base.folder import RunFolder
from sparta_ray.base.grids import area_weights
from sparta_ray.base.seeding import derive_seed
from sparta_ray.downstream.forecast.anomaly_regression import AnomalyRegressionConfig
from sparta_ray.downstream.forecast.seasonal_cycle import waves, year_phase
from sparta_ray.embedder import Embedder
from sparta_ray.evaluation.forecasting import (
    _valid_days,
    evaluate_forecast_baselines,
)
from sparta_ray.evaluation.forecasting import test_windows as windows_of
from sparta_ray.evaluation.setup import Setup
from sparta_ray.run.trial import Trial, save_trial
from sparta_ray.tasks.forecast import Forecast
from sparta_ray.tasks.trials import fresh_model, load_trial

SETTING, LOOK_BACK, LEADS = "every_other", 3, 5
STARTS = list(range(0, 33, 2))
"""40 test days hold windows of 3 + 5 days that start on days 0 to 32."""


@pytest.fixture(scope="module")
def baselines(setup):
    return evaluate_forecast_baselines(setup, SETTING).scores


@pytest.fixture(scope="module", params=["sparta", "autoencoder"])
def trial(request, save_random):
    return save_random(request.param, "forecast", SETTING)


@pytest.fixture(scope="module")
def evaluated(setup, trial):
    return Forecast().evaluate(setup, trial)


@pytest.fixture(scope="module")
def by_hand(setup, trial):
    """Forecasts by the same networks, window by window and day by day, (lead, window, V, X, Y)."""
    embedder = Embedder.from_pretrained(setup.run.path, trial.model)
    model = load_trial(RunFolder(setup.run.path), setup.run, trial)
    days = np.arange(460, 500)
    seed = derive_seed(derive_seed(setup.run.seed, "evaluation"), "test", 0)
    x = setup.store.read_standardised(days)
    h = embedder.encode_masked(x, setup.run.downstream.mask, seed, days)
    forecasts = np.empty((LEADS, len(STARTS), 3, 64, 32))
    with torch.no_grad():
        for window, start in enumerate(STARTS):
            _, state = model.encoder(h[None, start : start + LOOK_BACK])
            day = h[None, start + LOOK_BACK - 1 : start + LOOK_BACK]
            for lead in range(1, LEADS + 1):
                hidden, state = model.decoder(day, state)
                day = model.to_embedding(hidden)
                forecasts[lead - 1, window] = embedder.decode_physical(day[0])[0]
    return forecasts


def test_windows_and_the_days_they_are_for(setup):
    assert windows_of(setup, SETTING).tolist() == STARTS
    assert _valid_days(setup, SETTING, lead=0).tolist() == [460 + s + 2 for s in STARTS]
    assert _valid_days(setup, SETTING, lead=1).tolist() == [460 + s + 3 for s in STARTS]
    assert _valid_days(setup, SETTING, lead=5)[-1] == 499
    assert len(windows_of(setup, "lookback30_stride1")) == 40 - 14 - 26 + 1


def test_persistence_is_as_many_days_behind_as_the_lead(baselines, offsets, value_of):
    for lead in range(1, LEADS + 1):
        for label in offsets:
            at = {"model": "persistence", "variable": label, "lead_days": lead}
            assert value_of(baselines, "rmse", **at) == pytest.approx(lead, abs=1e-6)
            assert value_of(baselines, "bias", **at) == pytest.approx(-lead, abs=1e-6)


def test_climatology_is_a_year_behind_at_every_lead(baselines, offsets, value_of):
    for lead in range(1, LEADS + 1):
        for label in offsets:
            at = {"model": "climatology", "variable": label, "lead_days": lead}
            assert value_of(baselines, "rmse", **at) == pytest.approx(365, abs=5e-3)
            assert value_of(baselines, "bias", **at) == pytest.approx(-365, abs=5e-3)


def test_forecasts_of_every_lead_are_those_made_by_hand(
    setup, evaluated, by_hand, offsets, value_of
):
    weights = area_weights(setup.store.latitude)
    apart = np.diff(by_hand.mean((1, 3, 4)), axis=0)
    assert np.abs(apart).max(axis=1).min() > 0.05  # leads differ by more than is let pass below
    for lead in range(1, LEADS + 1):
        for channel, (label, offset) in enumerate(offsets.items()):
            days = np.array(STARTS) + 460 + LOOK_BACK - 1 + lead
            error = by_hand[lead - 1, :, channel] - (offset + days)[:, None, None]
            at = {"variable": label, "lead_days": lead}
            bias, square = ((weights * e).mean() / weights.mean() for e in (error, error**2))
            assert value_of(evaluated.scores, "bias", **at) == pytest.approx(bias, abs=2e-2)
            rmse = value_of(evaluated.scores, "rmse", **at)
            assert rmse == pytest.approx(np.sqrt(square), abs=2e-2)


def test_maps_show_the_middle_window(setup, trial, evaluated, by_hand, offsets):
    panels = evaluated.arrays[f"map-{trial.name}"]
    assert panels.panel.values.tolist() == ["truth", "forecast", "error"]
    day = 460 + STARTS[8] + LOOK_BACK - 1 + LEADS
    assert panels.attrs == {"day": str(setup.store.days[day]), "lead": LEADS}
    for label, offset in offsets.items():
        truth, forecast, error = panels.sel(variable=label)
        assert (truth == offset + day).all()
        np.testing.assert_allclose(error, forecast - truth, atol=1e-2)
    np.testing.assert_allclose(panels.sel(panel="forecast"), by_hand[LEADS - 1, 8], atol=5e-2)


def test_anomalies_are_correlated_at_the_leads_of_tables(
    setup, trial, evaluated, baselines, by_hand, offsets, value_of
):
    leads = {1, 3, 5}  # of the report those that are forecast, the first and the last
    for scores, metric in ((evaluated.scores, "acc"), (baselines, "acc"), (baselines, "ssim")):
        assert {score.lead_days for score in scores if score.metric == metric} == leads
    acc = [score for score in baselines if score.metric == "acc"]
    assert {score.model for score in acc} == {"persistence"}
    # The truth is 365 above its climatology everywhere, persistence 365 less the lead.
    assert [score.value for score in acc] == pytest.approx([1.0] * 9)
    weights = area_weights(setup.store.latitude)
    for lead in leads:
        days = np.array(STARTS) + 460 + LOOK_BACK - 1 + lead
        for channel, (label, offset) in enumerate(offsets.items()):
            f = by_hand[lead - 1, :, channel] - (offset + days - 365)[:, None, None]
            correlations = (weights * f).mean((1, 2)) / np.sqrt((weights * f**2).mean((1, 2)))
            found = value_of(evaluated.scores, "acc", variable=label, lead_days=lead)
            assert found == pytest.approx(correlations.mean(), abs=1e-3)


def test_scores_name_whose_they_are(setup, save_random):
    trial = save_random("sparta", "forecast", "lookback30_stride1")
    scores = Forecast().evaluate(setup, trial).scores
    named = {(s.task, s.model, s.setting, s.seed) for s in scores}
    assert named == {("forecast", "sparta", "lookback30_stride1", 7)}
    rrmse = [s.lead_days for s in scores if s.metric == "rrmse"]
    assert rrmse == list(range(1, 27))
    assert {s.lead_days for s in scores if s.metric == "acc"} == {1, 3, 25, 26}


@pytest.fixture(params=["fields", "embedding"])
def about_climatology(setup, request):
    """The same run with a forecaster of anomalies, whose weights are random."""
    setting = AnomalyRegressionConfig(
        kind="anomaly_regression", target=request.param, look_back=2, stride=3, components=4,
        harmonics=1, lead_days=4,
    )  # fmt: skip
    downstream = replace(setup.run.downstream, forecast={"anomalies": setting})
    run = replace(setup.run, downstream=downstream)
    trial = Trial("sparta", "forecast", "anomalies", seed=7)
    model, generator = fresh_model(run, trial), torch.Generator().manual_seed(6)
    for parameter in model.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator))
    save_trial(RunFolder(run.path), trial, model)
    return Setup(run, setup.device), trial, model


def changes(setup, model, start, lead):
    """Return what one window's forecast anomalies change in the fields, (V, X, Y)."""
    embedder, days = Embedder.from_pretrained(setup.run.path, "sparta"), np.arange(460, 500)
    seed = derive_seed(derive_seed(setup.run.seed, "evaluation"), "test", 0)
    x = setup.store.read_standardised(days)
    h = embedder.encode_masked(x, setup.run.downstream.mask, seed, days)
    average = waves(year_phase(setup.store.days[days]), 1).float() @ model.cycle_ND
    amplitudes = (h - average) @ model.components_DK
    past = torch.cat([amplitudes[start + 1], amplitudes[start]])
    anomaly = model.patterns_GM @ (past @ model.weights_FPM[lead - 1])
    if model.target == "fields":
        std = setup.store.statistics.std[:, None, None]
        return anomaly.reshape(3, 64, 32).numpy() * std
    usual = average[start + 1 + lead]
    changed, unchanged = embedder.decode_physical(torch.stack([usual + anomaly, usual]))
    return changed - unchanged


def test_a_forecast_of_anomalies_is_climatology_and_what_they_change(
    about_climatology, offsets, value_of
):
    setup, trial, model = about_climatology
    results = Forecast().evaluate(setup, trial)
    weights = area_weights(setup.store.latitude)
    for lead in (1, 4):
        change = np.stack([changes(setup, model, start, lead) for start in range(0, 35, 3)])
        for channel, label in enumerate(offsets):
            found = value_of(results.scores, "bias", variable=label, lead_days=lead)
            shift = (weights * change[:, channel]).mean() / weights.mean()
            assert abs(shift) > 0.5
            # The climatology is a year behind the truth.
            assert found == pytest.approx(shift - 365, rel=1e-3)


def test_without_an_anomaly_the_forecast_is_the_climatology(about_climatology, value_of):
    setup, trial, model = about_climatology
    still = replace(trial, seed=8)
    quiet = fresh_model(setup.run, trial)
    quiet.load_state_dict(model.state_dict() | {"weights_FPM": 1e-7 * model.weights_FPM})
    save_trial(RunFolder(setup.run.path), still, quiet)
    found = Forecast().evaluate(setup, still).scores
    baseline = evaluate_forecast_baselines(setup, "anomalies").scores
    for lead in range(1, 5):
        same = {"variable": "2m_temperature", "lead_days": lead}
        climatology = value_of(baseline, "rmse", "climatology", **same)
        assert value_of(found, "rmse", **same) == pytest.approx(climatology, abs=1e-2)
