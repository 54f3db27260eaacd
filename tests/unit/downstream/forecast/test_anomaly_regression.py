"""Constructed weather: seasons and a damped rotation, so that the best forecast is known.

An anomaly follows a(t + 1) = A a(t) + noise, A a rotation damped by `DAMPING`. Its best forecast is
A^f a(t), whose share of the variance explained is DAMPING^2f.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sparta_ray.base.errors import ConfigError
from sparta_ray.downstream.forecast.anomaly_regression import (
    AnomalyRegressionConfig,
    train_anomaly_regression,
)
from sparta_ray.downstream.forecast.forecaster import KnownDays
from sparta_ray.downstream.forecast.lstm import LSTMForecastConfig, train_lstm_forecaster
from sparta_ray.downstream.forecast.seasonal_cycle import waves, year_phase

D, DAMPING, LEADS = 7, 0.9, 40
CONFIG = AnomalyRegressionConfig(
    kind="anomaly_regression",
    target="embedding",
    harmonics=1,
    components=2,
    lead_days=LEADS,
    epochs=2,
)
TRAIN, VALIDATION, TEST = 1500, 200, 900


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def rotation():
    angle = torch.tensor(2 * math.pi / 13, dtype=torch.float64)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2)
    return DAMPING * turn


@pytest.fixture(scope="module")
def weather(rotation):
    """Return embeddings (days, D), their phases, and the anomalies (days, D) in them."""
    generator, days = torch.Generator().manual_seed(4), TRAIN + VALIDATION + TEST
    noise = torch.randn(days, 2, generator=generator, dtype=torch.float64)
    plane = torch.linalg.qr(torch.randn(D, 2, generator=generator, dtype=torch.float64))[0]
    state, states = torch.zeros(2, dtype=torch.float64), []
    for kick in noise * (1 - DAMPING**2) ** 0.5:
        state = rotation @ state + kick
        states.append(state)
    phase = year_phase(np.datetime64("1990-03-01") + np.arange(days))
    season = waves(phase, 1) @ torch.randn(3, D, generator=generator, dtype=torch.float64)
    anomalies = torch.stack(states) @ plane.T
    return (season + anomalies).float(), phase, anomalies.float()


def split(series):
    return torch.split(series, [TRAIN, VALIDATION, TEST])


def ignore(epoch, losses):
    pass


def trained(weather, config=CONFIG, fields=(None, None, None), on_epoch=ignore):
    (h, h_validation, _), (phase, phase_validation, _) = map(split, weather[:2])
    days, later = KnownDays(phase, fields[0]), KnownDays(phase_validation, fields[1])
    return train_anomaly_regression(lambda epoch: h, days, h_validation, later, config, 0, on_epoch)


@pytest.fixture(scope="module")
def model(weather):
    return trained(weather)


@pytest.fixture(scope="module")
def windows(weather, model):
    """Return past, future, the climatology at both, and the forecast, of all test windows."""
    h, phase, _ = (split(part)[2] for part in weather)
    length = CONFIG.look_back + LEADS
    h_windows, phases = h.unfold(0, length, 1).mT, phase.unfold(0, length, 1)
    past, future = h_windows[:, : CONFIG.look_back], h_windows[:, CONFIG.look_back :]
    climatology = model.at(phases[:, CONFIG.look_back :], model.cycle_ND)
    return past, future, climatology, climatology + forecast_anomalies(model, past, phases)


def forecast_anomalies(model, past, phases):
    """Return the anomalies (B, F, G) that follow windows whose first days are `past`."""
    x = model.predictors(past, phases[:, : CONFIG.look_back])
    return torch.stack([model.anomalies(x, lead) for lead in range(1, LEADS + 1)], dim=1)


def error(forecast, truth):
    """Return the mean squared error at each lead, summed over D."""
    return (forecast - truth).square().sum(-1).mean(0)


def test_phase_goes_round_once_a_year():
    dates = np.array(["1970-01-01", "1969-12-31", "1970-07-02T15:00"], dtype="datetime64[h]")
    year = 365.2425
    expected = 2 * math.pi * np.array([0, -1 / year, 182.625 / year])
    np.testing.assert_allclose(year_phase(dates).numpy(), expected)
    found = waves(torch.tensor([[0.0, math.pi / 2]]), 2)
    assert found.shape == (1, 2, 5)
    torch.testing.assert_close(found[0, 1], torch.tensor([1.0, 0.0, -1.0, 1.0, 0.0]))
    whole_years = torch.tensor([math.pi / 2 + 2 * math.pi * 50], dtype=torch.float64)
    expected = torch.tensor([1.0, 0.0, -1.0, 1.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(waves(whole_years, 2)[0], expected)


def test_a_daily_cycle_that_changes_over_the_year_is_made_of_waves():
    times = np.datetime64("1990-01-01T00", "h") + 6 * np.arange(4 * 730)
    phase = year_phase(times)
    hour = (times - times.astype("M8[D]")).astype(float)
    season = phase.numpy()
    cycle = 3 + (5 + np.cos(season)) * np.cos(2 * math.pi * (hour - 15) / 24)
    fitted = waves(phase, 1, daily_harmonics=1)
    assert fitted.shape == (len(times), 9)
    weights = torch.linalg.pinv(fitted) @ torch.from_numpy(cycle)
    np.testing.assert_allclose((fitted @ weights).numpy(), cycle, atol=1e-8)


def test_the_damped_rotation_is_found(weather, model, rotation):
    """The weights on the last day are Aᶠ in the plane of the anomalies, on the day before 0."""
    plane = model.components_DK.double()
    anomalies = weather[2].double()
    kept = (anomalies @ plane).square().sum() / anomalies.square().sum()
    assert kept > 0.999
    for lead in (1, 3, 6):
        # Patterns of the target may be turned or mirrored against those of the past.
        weights = model.weights_FPM[lead - 1].double() @ (model.patterns_GM.T.double() @ plane)
        last, before = weights[:2], weights[2:]
        power = torch.linalg.matrix_power(rotation, lead)
        assert float(last.trace()) == pytest.approx(float(power.trace()), abs=0.12)
        assert float(torch.linalg.det(last)) == pytest.approx(DAMPING ** (2 * lead), abs=0.12)
        assert before.abs().max() < 0.12


def test_it_explains_what_can_be_known_and_ends_at_the_climatology(windows):
    _, future, climatology, forecast = windows
    skill = 1 - error(forecast, future) / error(climatology, future)
    for lead in (1, 2, 4, 8):
        assert float(skill[lead - 1]) == pytest.approx(DAMPING ** (2 * lead), abs=0.06)
    assert skill.min() > -0.02
    spread = (forecast - climatology).square().sum(-1).mean(0)
    assert spread[-1] < 0.02 * error(climatology, future)[-1]
    assert spread[0] > 0.5 * error(climatology, future)[0]


def test_it_beats_persistence_and_the_published_form(weather, windows):
    past, future, climatology, forecast = windows
    (h, h_validation, _) = split(weather[0])
    published = LSTMForecastConfig(look_back=5, epochs=4, hidden=16, lead_days=LEADS)
    lstm = train_lstm_forecaster(lambda epoch: h, h_validation, published, 0, lambda *_: None)
    five = split(weather[0])[2].unfold(0, 5, 1).mT[: len(past) - 3]
    from_lstm = error(lstm.rollout(five, LEADS), future[3:])
    ours, persistence = error(forecast, future), error(past[:, -1:], future)
    assert (ours < persistence).all()
    assert (ours < from_lstm).all()
    assert (ours < 1.02 * error(climatology, future)).all()
    assert from_lstm[-1] > 1.1 * ours[-1]


def test_fields_are_forecast_straight_from_embeddings(weather):
    """Fields are another linear picture of the same rotation, with a noise of their own."""
    h, phase, anomalies = weather
    generator = torch.Generator().manual_seed(5)
    picture = torch.randn(D, 11, generator=generator)
    noise = 0.05 * torch.randn(len(h), 11, generator=generator)
    fields = split(anomalies @ picture + noise + 2 + waves(phase, 1)[:, 1:2].float())
    model = trained(weather, replace(CONFIG, target="fields", epochs=1), fields)
    assert model.patterns_GM.shape == (11, 2)
    length = CONFIG.look_back + LEADS
    past = split(h)[2].unfold(0, length, 1).mT[:, : CONFIG.look_back]
    phases = split(phase)[2].unfold(0, length, 1)
    future = fields[2].unfold(0, length, 1).mT[:, CONFIG.look_back :]
    average = model.at(phases[:, CONFIG.look_back :], model.target_cycle_NG)
    forecast = average + forecast_anomalies(model, past, phases)
    skill = 1 - error(forecast, future) / error(average, future)
    for lead in (1, 2, 4, 8):
        assert float(skill[lead - 1]) == pytest.approx(DAMPING ** (2 * lead), abs=0.06)
    assert abs(float(skill[-1])) < 0.02


def test_fields_with_gaps_are_refused(weather):
    fields = torch.ones(TRAIN, 4)
    fields[7, 2] = torch.nan
    with pytest.raises(ConfigError, match=r"1 of 6000 values.*target to embedding"):
        KnownDays(split(weather[1])[0], fields)


def test_masks_are_drawn_once_an_epoch_and_losses_reported(weather):
    drawn, reported = [], []
    h, phase, _ = (split(part)[0] for part in weather)

    def latents(epoch):
        drawn.append(epoch)
        return h

    train_anomaly_regression(
        latents, KnownDays(phase), h[:200], KnownDays(phase[:200]), CONFIG, 0,
        lambda epoch, losses: reported.append((epoch, losses)),
    )  # fmt: skip
    assert drawn == [0, 1]
    ((epoch, losses),) = reported
    assert epoch == 1
    # Of two patterns, each of half the variance 1, what the mean lead leaves unexplained.
    left = 1 - sum(DAMPING ** (2 * lead) for lead in range(1, LEADS + 1)) / LEADS
    assert losses["loss"] == pytest.approx(left, abs=0.15)
    assert losses["validation_loss"] == pytest.approx(left, abs=0.4)


def test_noise_on_the_past_shrinks_the_forecast(weather, model):
    """What is regressed on is the masked day, so its noise counts against it."""
    h, phase, _ = (split(part)[0] for part in weather)

    def noisy(epoch):
        return h + torch.randn(h.shape, generator=torch.Generator().manual_seed(epoch))

    days, later = KnownDays(phase), KnownDays(phase[:200])
    shrunk = train_anomaly_regression(noisy, days, h[:200], later, CONFIG, 0, ignore)
    assert shrunk.weights_FPM[0].norm() < 0.8 * model.weights_FPM[0].norm()


def test_there_may_be_fewer_patterns_than_asked_for(weather):
    config = replace(CONFIG, components=50, lead_days=3, epochs=1, harmonics=0)
    assert trained(weather, config).components_DK.shape == (D, D)
    h, phase, _ = (part[:6] for part in weather)
    model = train_anomaly_regression(
        lambda epoch: h, KnownDays(phase), h, KnownDays(phase), config, 0, ignore
    )
    assert model.components_DK[:, 6:].abs().max() == 0
    assert model.weights_FPM.isfinite().all()


@pytest.mark.parametrize("short", ["train", "validation"])
def test_a_split_without_a_window_is_an_error(weather, short):
    h, phase, _ = (split(part)[0] for part in weather)
    days = {"train": 200, "validation": 200} | {short: 41}
    train, validation = (
        (h[:length], KnownDays(phase[:length])) for length in (days["train"], days["validation"])
    )
    with pytest.raises(ConfigError, match="2 past and 40 future steps do not fit in 41 steps"):
        train_anomaly_regression(lambda epoch: train[0], train[1], *validation, CONFIG, 0, ignore)
