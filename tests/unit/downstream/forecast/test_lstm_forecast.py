import math
from dataclasses import replace

import pytest
import torch
from numpy.testing import assert_array_equal

from sparta_ray.base.config import from_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.downstream.forecast.forecast import PUBLISHED
from sparta_ray.downstream.forecast.forecaster import ForecastData, KnownDays
from sparta_ray.downstream.forecast.lstm import (
    LSTMForecastConfig,
    LSTMForecaster,
    train_lstm_forecaster,
)
from sparta_ray.downstream.forecast.windows import window_starts

D = 7
SMALL = LSTMForecastConfig(look_back=4, hidden=12, epochs=3, batch_size=8)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def rotation(days, phase=0.0):
    """Three circles with periods of 9, 14 and 23 days, and a constant component."""
    angle = torch.arange(days)[:, None] * (2 * math.pi / torch.tensor([9.0, 14.0, 23.0])) + phase
    return torch.cat([angle.cos(), angle.sin(), torch.full((days, 1), 0.3)], dim=1)


def ignore(epoch, metrics):
    pass


class TestWindowStarts:
    def test_edges(self):
        assert_array_equal(window_starts(6, look_back=2, horizon=1, stride=1), [0, 1, 2, 3])
        assert_array_equal(window_starts(6, look_back=2, horizon=1, stride=2), [0, 2])
        assert_array_equal(window_starts(6, look_back=2, horizon=1, stride=3), [0, 3])

    def test_exactly_one_window_fits(self):
        starts = window_starts(5, look_back=3, horizon=2, stride=4)
        assert_array_equal(starts, [0])
        assert starts.dtype == "int64"

    @pytest.mark.parametrize(
        ("name", "windows"),
        [("lookback30_stride1", 2776), ("lookback5_stride5", 561), ("lookback5_stride10", 281)],
    )
    def test_published_counts(self, name, windows):
        config = PUBLISHED[name]
        starts = window_starts(2806, config.look_back, config.target_days, config.stride)
        assert len(starts) == windows

    def test_published_test_windows_at_lead_100(self):
        assert len(window_starts(937, 30, 100, 1)) == 808

    def test_too_short_a_split_names_the_numbers_and_the_remedy(self):
        with pytest.raises(
            ConfigError, match=r"30 past and 1 future steps.*in 29 steps.*reduce look"
        ):
            window_starts(29, look_back=30, horizon=1, stride=1)
        with pytest.raises(ConfigError):
            window_starts(4, look_back=3, horizon=2, stride=1)


class TestConfig:
    def test_published_settings(self):
        base = PUBLISHED["lookback30_stride1"]
        assert (base.look_back, base.dropout, base.weight_decay) == (30, 0.0, 1e-6)
        five = PUBLISHED["lookback5_stride5"]
        assert (five.look_back, five.stride, five.dropout, five.weight_decay) == (5, 5, 0.3, 1e-5)
        ten = PUBLISHED["lookback5_stride10"]
        assert (ten.look_back, ten.stride, ten.dropout, ten.weight_decay) == (5, 10, 0.0, 1e-5)

    def test_teacher_forcing_is_linear_over_epochs(self):
        config = LSTMForecastConfig(epochs=4)
        rates = [config.teacher_forcing_in(epoch) for epoch in range(4)]
        assert rates == pytest.approx([0.775, 0.55, 0.325, 0.1])
        published = LSTMForecastConfig()
        assert published.teacher_forcing_in(0) == pytest.approx(0.991)
        assert published.teacher_forcing_in(99) == pytest.approx(0.1)

    @pytest.mark.parametrize(
        "tree",
        [
            {"look_back": 0},
            {"stride": 0},
            {"dropout": 1.0},
            {"teacher_forcing": [1.2, 0.1]},
            {"lookback": 5},
            {"plateau": {"factor": 1.0}},
        ],
    )
    def test_errors(self, tree):
        with pytest.raises(ConfigError, match=next(iter(tree))):
            from_tree(LSTMForecastConfig, tree, "test")


class TestForecaster:
    def test_shapes_and_parameter_count(self):
        model = LSTMForecaster(D, LSTMForecastConfig(hidden=12))
        lstm = 4 * 12 * (D + 12 + 2)
        assert sum(p.numel() for p in model.parameters()) == 2 * lstm + (12 + 1) * D
        assert model(torch.zeros(3, 5, D)).shape == (3, 1, D)
        assert model(torch.zeros(3, 5, D), torch.zeros(3, 2, D)).shape == (3, 2, D)
        assert model.rollout(torch.zeros(3, 5, D), 11).shape == (3, 11, D)

    def test_decoder_starts_from_last_day_and_encoder_state(self):
        model = LSTMForecaster(D, SMALL)
        past = torch.randn(2, 4, D)
        _, state = model.encoder(past)
        first, state = model.decoder(past[:, -1:], state)
        first = model.to_embedding(first)
        second = model.to_embedding(model.decoder(first, state)[0])
        torch.testing.assert_close(model(past, days=2), torch.cat([first, second], dim=1))

    def test_teacher_forcing_feeds_the_true_day(self):
        model = LSTMForecaster(D, SMALL)
        past, target = torch.randn(2, 4, D), torch.randn(2, 2, D)
        _, state = model.encoder(past)
        _, state = model.decoder(past[:, -1:], state)
        second = model.to_embedding(model.decoder(target[:, :1], state)[0])
        torch.testing.assert_close(model(past, target, 1.0)[:, 1:], second)

    def test_without_teacher_forcing_the_target_is_not_seen(self):
        model = LSTMForecaster(D, SMALL)
        past = torch.randn(2, 4, D)
        forecast = model(past, torch.full((2, 3, D), torch.nan), 0.0)
        torch.testing.assert_close(forecast, model.rollout(past, 3))

    def test_one_target_day_makes_teacher_forcing_inert(self):
        model = LSTMForecaster(D, SMALL)
        past, target = torch.randn(2, 4, D), torch.randn(2, 1, D)
        assert torch.equal(model(past, target, 1.0), model(past, target, 0.0))

    def test_a_draw_is_for_a_whole_batch_and_follows_the_probability_and_the_generator(self):
        model = LSTMForecaster(D, SMALL)
        past, target = torch.randn(1, 4, D).repeat(3, 1, 1), torch.ones(3, 2, D)

        def shares_forced(seed):
            generator = torch.Generator().manual_seed(seed)
            batches = [model(past, target, 0.3, generator)[:, 1] for _ in range(300)]
            forced = model(past[:1], target[:1], 1.0)[:, 1]
            return torch.stack([torch.isclose(h, forced).all(dim=1) for h in batches]).double()

        shares = shares_forced(5)
        assert torch.equal(shares, shares_forced(5))
        assert set(shares.mean(dim=1).tolist()) == {0.0, 1.0}
        assert 0.2 < shares.mean() < 0.4

    def test_teacher_forcing_without_a_target_is_an_error(self):
        with pytest.raises(ValueError, match="needs a target"):
            LSTMForecaster(D, SMALL)(torch.zeros(1, 4, D), None, 0.5)

    def test_rollout_is_unaided_and_leaves_the_mode(self):
        model = LSTMForecaster(D, LSTMForecastConfig(hidden=12, layers=2, dropout=0.5)).train()
        past = torch.randn(2, 4, D)
        long, short = model.rollout(past, 9), model.rollout(past, 3)
        torch.testing.assert_close(long[:, :3], short)
        assert model.training
        assert not long.requires_grad
        assert not torch.equal(model(past), model(past))  # dropout acts in training


class TestTraining:
    @pytest.mark.parametrize("target_days", [1, 4])
    def test_learns_a_rotation_better_than_persistence(self, target_days):
        config = LSTMForecastConfig(
            look_back=5, hidden=32, epochs=60, batch_size=32, target_days=target_days
        )
        train, validation = rotation(160), rotation(61, phase=0.4)
        model = train_lstm_forecaster(lambda epoch: train, validation, config, 0, ignore)
        windows = validation.unfold(0, 9, 1).mT
        past, truth = windows[:, :5], windows[:, 5:]
        error = (model.rollout(past, 4) - truth).square().mean(dim=(0, 2))
        persistence = (past[:, -1:] - truth).square().mean(dim=(0, 2))
        assert (error[:target_days] < 0.05 * persistence[:target_days]).all()
        assert (error < persistence).all()

    def test_latents_are_drawn_once_an_epoch_and_metrics_reported(self):
        drawn, reported = [], []

        def latents(epoch):
            drawn.append(epoch)
            return rotation(21)

        def on_epoch(epoch, metrics):
            reported.append((epoch, set(metrics)))

        train_lstm_forecaster(latents, rotation(9), SMALL, 0, on_epoch)
        assert drawn == [0, 1, 2]
        assert reported == [(epoch, {"loss", "validation_loss", "lr"}) for epoch in range(3)]

    def test_validation_days_are_masked_anew_in_every_epoch(self):
        drawn, losses = [], []

        def redrawn(epoch):
            drawn.append(epoch)
            return rotation(9) * (epoch + 1)

        def data(redraw):
            return ForecastData(
                lambda _: rotation(21), KnownDays(torch.zeros(21)),
                rotation(9), KnownDays(torch.zeros(9)), redraw,
            )  # fmt: skip

        def on_epoch(epoch, metrics):
            losses.append(metrics["validation_loss"])

        still = replace(SMALL, lr=1e-30)
        still.train(data(redrawn), 0, on_epoch)
        assert drawn == [1, 2]  # those of epoch 0 are given
        assert losses[0] < losses[1] < losses[2]
        losses.clear()
        replace(still, validation_masks="fixed").train(data(redrawn), 0, on_epoch)
        assert drawn == [1, 2]
        assert losses == pytest.approx([losses[0]] * 3)

    def test_seed_decides_everything(self):
        config = LSTMForecastConfig(
            look_back=3, hidden=6, layers=2, dropout=0.3, epochs=3, batch_size=4, target_days=3
        )

        def run(seed, outer):
            torch.manual_seed(outer)
            losses = []
            model = train_lstm_forecaster(
                lambda epoch: rotation(20) + 0.01 * epoch + 0 * torch.rand(1),
                rotation(9),
                config,
                seed,
                lambda epoch, metrics: losses.append(dict(metrics)),
            )
            return losses, model.state_dict()

        losses, weights = run(3, outer=0)
        again, same = run(3, outer=1)
        other, _ = run(4, outer=0)
        assert losses == again
        assert all(torch.equal(weights[name], same[name]) for name in weights)
        assert losses != other

    def test_leaves_the_global_generator_alone(self):
        torch.manual_seed(0)
        expected = torch.rand(3)
        torch.manual_seed(0)
        train_lstm_forecaster(lambda epoch: rotation(12), rotation(9), SMALL, 0, ignore)
        assert torch.equal(torch.rand(3), expected)

    def test_losses_are_means_over_windows_of_ragged_batches(self):
        """With a frozen learning rate both losses are those of the initial weights."""
        config = LSTMForecastConfig(look_back=2, hidden=4, epochs=1, batch_size=4, lr=1e-30)
        h, seen = rotation(9), []
        model = train_lstm_forecaster(
            lambda epoch: h, h, config, 0, lambda epoch, metrics: seen.append(metrics)
        )
        windows = h.unfold(0, 3, 1).mT  # 7 windows: batches of 4 and 3
        expected = (model.rollout(windows[:, :2], 1) - windows[:, 2:]).square().mean()
        assert seen[0]["loss"] == pytest.approx(float(expected), rel=1e-5)
        assert seen[0]["validation_loss"] == pytest.approx(float(expected), rel=1e-5)

    def test_learning_rate_falls_on_a_plateau(self):
        config = LSTMForecastConfig(
            look_back=2, hidden=4, epochs=4, lr=1e-12, plateau={"patience": 0, "factor": 0.5}
        )
        rates = []
        train_lstm_forecaster(
            lambda epoch: rotation(9),
            rotation(9),
            config,
            0,
            lambda epoch, metrics: rates.append(metrics["lr"]),
        )
        assert rates == pytest.approx([1e-12, 1e-12, 5e-13, 2.5e-13])

    def test_a_short_split_is_told_before_any_embedding_is_computed(self):
        with pytest.raises(ConfigError, match="in 4 steps"):
            train_lstm_forecaster(lambda epoch: pytest.fail("drawn"), rotation(4), SMALL, 0, ignore)
        with pytest.raises(ConfigError, match="in 3 steps"):
            train_lstm_forecaster(lambda epoch: rotation(3), rotation(9), SMALL, 0, ignore)

    def test_other_embedding_sizes_are_an_error(self):
        with pytest.raises(ValueError, match=r"\(9, 6\).*\(9, 7\)"):
            train_lstm_forecaster(lambda epoch: rotation(9)[:, :6], rotation(9), SMALL, 0, ignore)

    def test_missing_values_are_an_error(self):
        with pytest.raises(ValueError, match="became nan"):
            train_lstm_forecaster(
                lambda epoch: rotation(9) * torch.nan, rotation(9), SMALL, 0, ignore
            )
