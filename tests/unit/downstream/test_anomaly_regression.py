"""Constructed weather: seasons and a damped rotation, so that the best forecast is known.

An anomaly follows a(t + 1) = A a(t) + noise, A a rotation damped by `DAMPING`. Its best forecast is
A^f a(t), whose share of the variance explained is DAMPING^2f.
"""

import math

import numpy as np
import pytest
import torch

from sparta_ray.config import ConfigError
from sparta_ray.downstream.anomaly_regression import (
    AnomalyRegressionConfig,
    seasonal,
    train_anomaly_regression,
    year_phase,
)
from sparta_ray.downstream.lstm_forecast import LSTMForecastConfig, train_lstm_forecaster

D, DAMPING, LEADS = 7, 0.9, 40
CONFIG = AnomalyRegressionConfig(
    kind="anomaly_regression", harmonics=1, components=2, lead_days=LEADS, epochs=2
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
    season = seasonal(phase, 1) @ torch.randn(3, D, generator=generator, dtype=torch.float64)
    anomalies = torch.stack(states) @ plane.T
    return (season + anomalies).float(), phase, anomalies.float()


def split(series):
    return torch.split(series, [TRAIN, VALIDATION, TEST])


def trained(weather, config=CONFIG, on_epoch=lambda epoch, losses: None):
    (h, h_validation, _), (phase, phase_validation, _) = map(split, weather[:2])
    return train_anomaly_regression(
        lambda epoch: h, phase, h_validation, phase_validation, config, on_epoch
    )


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
    climatology = model.climatology(phases[:, CONFIG.look_back :])
    components = model.regress(model.predictors(past, phases[:, : CONFIG.look_back]))
    return past, future, climatology, climatology + components @ model.components_DK.T


def error(forecast, truth):
    """Return the mean squared error at each lead, summed over D."""
    return (forecast - truth).square().sum(-1).mean(0)


def test_phase_goes_round_once_a_year():
    dates = np.array(["1970-01-01", "1969-12-31", "1970-07-02T15:00"], dtype="datetime64[h]")
    year = 365.2425
    expected = 2 * math.pi * np.array([0, (year - 1) / year, 182.625 / year])
    np.testing.assert_allclose(year_phase(dates).numpy(), expected)
    waves = seasonal(torch.tensor([[0.0, math.pi / 2]]), 2)
    assert waves.shape == (1, 2, 5)
    torch.testing.assert_close(waves[0, 1], torch.tensor([1.0, 0.0, -1.0, 1.0, 0.0]))


def test_the_damped_rotation_is_found(weather, model, rotation):
    """The weights on the last day are Aᶠ in the plane of the anomalies, on the day before 0."""
    plane = model.components_DK.double()
    anomalies = weather[2].double()
    kept = (anomalies @ plane).square().sum() / anomalies.square().sum()
    assert kept > 0.999
    for lead in (1, 3, 6):
        weights = model.weights_FPK[lead - 1].double()
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


def test_masks_are_drawn_once_an_epoch_and_losses_reported(weather):
    drawn, reported = [], []
    h, phase, _ = (split(part)[0] for part in weather)

    def latents(epoch):
        drawn.append(epoch)
        return h + 0.5 * torch.randn(h.shape, generator=torch.Generator().manual_seed(epoch))

    def on_epoch(epoch, losses):
        reported.append((epoch, losses))

    train_anomaly_regression(latents, phase, h[:200], phase[:200], CONFIG, on_epoch)
    assert drawn == [epoch for epoch, _ in reported] == [0, 1]
    assert all(set(losses) == {"loss", "validation_loss"} for _, losses in reported)


def test_noise_on_the_past_shrinks_the_forecast(weather, model):
    """What is regressed on is the masked day, so its noise counts against it."""
    h, phase, _ = (split(part)[0] for part in weather)

    def noisy(epoch):
        return h + torch.randn(h.shape, generator=torch.Generator().manual_seed(epoch))

    shrunk = train_anomaly_regression(
        noisy, phase, h[:200], phase[:200], CONFIG, lambda epoch, losses: None
    )
    assert shrunk.weights_FPK[0].norm() < 0.8 * model.weights_FPK[0].norm()


def test_the_embedding_may_be_smaller_than_the_components(weather):
    config = AnomalyRegressionConfig(
        kind="anomaly_regression", components=50, lead_days=3, epochs=1, harmonics=0
    )
    assert trained(weather, config).components_DK.shape == (D, D)


@pytest.mark.parametrize("short", ["train", "validation"])
def test_a_split_without_a_window_is_an_error(weather, short):
    h, phase, _ = (split(part)[0] for part in weather)
    days = {"train": 200, "validation": 200} | {short: 41}
    train, validation = days["train"], days["validation"]
    with pytest.raises(ConfigError, match="2 past and 40 future days do not fit in 41 days"):
        train_anomaly_regression(
            lambda epoch: h[:train], phase[:train], h[:validation], phase[:validation], CONFIG,
            lambda epoch, losses: None,
        )  # fmt: skip
