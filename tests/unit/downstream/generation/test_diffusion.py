import pytest
import torch
from torch import nn

from sparta_ray.base.config import from_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.downstream.generation.diffusion import (
    DiffusionConfig,
    LatentDiffusion,
    sample,
    train_diffusion,
)
from sparta_ray.downstream.generation.noise_schedule import NoiseSchedule
from sparta_ray.downstream.generation.published_network import PublishedNetwork, time_features
from sparta_ray.downstream.generation.unet import LinearUNet, time_embedding

D = 7
SIZES = {"heads": 2, "time_features": 6, "epochs": 3, "batch_size": 4}
SMALL = DiffusionConfig(steps=20, widths=(16, 8, 4), **SIZES)
COMPACT = DiffusionConfig(network="compact", steps=20, widths=(16, 8), **SIZES)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ignore(epoch, metrics):
    pass


class Oracle(nn.Module):
    """The best noise prediction for targets ~ N(2 condition, spread²)."""

    def __init__(self, schedule, spread):
        super().__init__()
        self.schedule, self.spread = schedule, spread

    def forward(self, h_BD, step_B, condition_BD):
        kept = self.schedule.alpha_product[step_B, None]
        excess = h_BD - kept.sqrt() * 2 * condition_BD
        return (1 - kept).sqrt() * excess / (kept * self.spread**2 + 1 - kept)


def query_gradient(attention):
    if attention.in_proj_weight is None:
        return attention.q_proj_weight.grad
    return attention.in_proj_weight.grad[: attention.embed_dim]


class TestNoiseSchedule:
    def test_is_linear_between_the_published_ends(self):
        beta = NoiseSchedule(1000, (1e-4, 0.02)).beta
        assert beta[0] == pytest.approx(1e-4)
        assert beta[-1] == pytest.approx(0.02)
        assert beta[1] - beta[0] == pytest.approx(0.0199 / 999, rel=1e-3)
        assert beta.dtype == torch.float32

    def test_closed_form_equals_step_by_step(self):
        schedule = NoiseSchedule(50, (1e-3, 0.2))
        scale, variance = 1.0, 0.0
        for step in range(50):
            alpha = 1 - (1e-3 + 0.199 * step / 49)
            scale, variance = scale * alpha**0.5, variance * alpha + 1 - alpha
            at = torch.tensor([step])
            signal = schedule.add_noise(torch.ones(1, 1), at, torch.zeros(1, 1))
            noise = schedule.add_noise(torch.zeros(1, 1), at, torch.ones(1, 1))
            assert signal.item() == pytest.approx(scale, rel=1e-5)
            assert noise.item() ** 2 == pytest.approx(variance, rel=1e-5)

    def test_add_noise_by_hand(self):
        schedule = NoiseSchedule(2, (0.5, 0.5))
        noisy = schedule.add_noise(
            torch.tensor([[2.0], [2.0]]), torch.tensor([0, 1]), torch.tensor([[1.0], [-1.0]])
        )
        expected = [[2 * 0.5**0.5 + 0.5**0.5], [2 * 0.5 - 0.75**0.5]]
        torch.testing.assert_close(noisy, torch.tensor(expected))

    def test_step_back_by_hand(self):
        schedule = NoiseSchedule(2, (0.5, 0.5))
        one = torch.ones(1, 1)
        back = schedule.step_back(2 * one, 1, one, one)
        mean = (2 - 0.5 / 0.75**0.5) / 0.5**0.5
        assert back.item() == pytest.approx(mean + 0.5**0.5, rel=1e-6)
        last = schedule.step_back(2 * one, 0, one, 1e9 * one)
        assert last.item() == pytest.approx((2 - 0.5**0.5) / 0.5**0.5, rel=1e-6)

    def test_first_step_undoes_exactly_known_noise(self):
        schedule = NoiseSchedule(10, (0.1, 0.3))
        h, noise = normal(3, D), normal(3, D, seed=1)
        noisy = schedule.add_noise(h, torch.zeros(3, dtype=torch.int64), noise)
        torch.testing.assert_close(schedule.step_back(noisy, 0, noise, noise), h)


class TestLinearUNet:
    def test_widths(self):
        net = LinearUNet(1000, (1024, 512, 256), heads=4, time_features=128, condition_tokens=1)
        down = [(b.first.in_features, b.first.out_features) for b in net.down]
        up = [(b.first.in_features, b.first.out_features) for b in net.up]
        assert down == [(1024, 1024), (1024, 512), (512, 256)]
        assert (net.bottleneck.first.in_features, net.bottleneck.first.out_features) == (256, 256)
        assert up == [(256 + 256, 256), (256 + 512, 512), (512 + 1024, 1024)]
        steps = torch.tensor([0, 999])
        assert net(normal(2, 1000), steps, normal(2, 1000)).shape == (2, 1000)

    def test_step_and_condition_matter(self):
        net = LinearUNet(D, (16, 8), heads=2, time_features=6, condition_tokens=1)
        h, condition = normal(1, D).repeat(2, 1), normal(1, D, seed=1).repeat(2, 1)
        same = torch.tensor([3, 3])
        steps = net(h, torch.tensor([3, 4]), condition)
        conditions = net(h, same, condition * torch.tensor([[1.0], [2.0]]))
        assert not torch.allclose(steps[0], steps[1])
        assert not torch.allclose(conditions[0], conditions[1])
        torch.testing.assert_close(*net(h, same, condition))

    @pytest.mark.parametrize("tokens", [1, 3])
    def test_query_and_key_learn_only_with_several_tokens(self, tokens):
        torch.manual_seed(0)
        net = LinearUNet(D, (16, 8), heads=2, time_features=6, condition_tokens=tokens)
        net.double()  # what rounding leaves in place of 0 must be told from a gradient
        noise, condition = normal(5, D).double(), normal(5, D, seed=1).double()
        net(noise, torch.arange(5), condition).square().mean().backward()
        for block in [*net.down, net.bottleneck, *net.up]:
            gradient = query_gradient(block.attention)
            assert (gradient.abs().max() > 1e-9) == (tokens > 1)

    def test_time_embedding_by_hand(self):
        embedding = time_embedding(torch.tensor([0, 2]), 4)
        slow = 2 / 10_000**0.5
        expected = torch.tensor([[2.0, slow]])
        expected = torch.cat([expected.sin(), expected.cos()], dim=1)
        torch.testing.assert_close(embedding[0], torch.tensor([0.0, 0.0, 1.0, 1.0]))
        torch.testing.assert_close(embedding[1:], expected)


class TestPublishedNetwork:
    def test_has_the_published_parameters(self):
        with torch.device("meta"):
            net = DiffusionConfig().build_network(1000)
        assert sum(weight.numel() for weight in net.parameters()) == 44_783_312

    def test_a_block_by_hand(self):
        """With one token, attention is the linear map of the condition, whatever the query."""
        net = PublishedNetwork(D, (16, 8, 4), heads=2, time_features=6, steps=20).double().eval()
        block = net.down[0]
        h, condition, time = (normal(3, size).double() for size in (16, 8, 6))

        def pair(part, x):
            inner = part.layers[1](part.layers[0](x)).relu()
            return part.norm(part.shortcut(x) + part.layers[3](inner)).relu()

        value = block.attention.in_proj_weight[16:] @ condition.T
        value = value + block.attention.in_proj_bias[16:, None]
        x = pair(block.first, h + block.time(time))
        x = block.norm_attended(x + block.attention.out_proj(value.T))
        x = block.norm_out(x + block.mlp[2](block.mlp[0](x).relu()))
        torch.testing.assert_close(block(h, condition, time), pair(block.second, x))

    def test_time_features_by_hand(self):
        found = time_features(torch.tensor([0.0, 0.1], dtype=torch.float64), 4)
        angle = 2 * torch.pi * 0.1 * torch.tensor([[1.0, 1000.0]], dtype=torch.float64)
        torch.testing.assert_close(found[0], torch.tensor([0.0, 0, 1, 1], dtype=torch.float64))
        torch.testing.assert_close(found[1:], torch.cat([angle.sin(), angle.cos()], dim=1))

    def test_step_and_condition_matter(self):
        net = PublishedNetwork(D, (16, 8, 4), heads=2, time_features=6, steps=20).eval()
        h, condition = normal(1, D).repeat(2, 1), normal(1, D, seed=1).repeat(2, 1)
        steps = net(h, torch.tensor([3, 4]), condition)
        conditions = net(h, torch.tensor([3, 3]), condition * torch.tensor([[1.0], [2.0]]))
        assert not torch.allclose(steps[0], steps[1])
        assert not torch.allclose(conditions[0], conditions[1])

    def test_counts_one_variance_more_and_ends_at_step_one(self):
        model, steps = LatentDiffusion(D, SMALL), []
        beta = model.schedule.beta
        assert len(beta) == 21
        torch.testing.assert_close(beta, torch.linspace(1e-4, 0.02, 21))

        def noise_of_step(step):
            steps.append(step)
            return torch.zeros(1, D)

        model.denoise(normal(1, D), noise_of_step)
        assert steps == [21, *range(20, 1, -1)]


class TestConfig:
    def test_published_defaults(self):
        config = DiffusionConfig()
        assert (config.steps, config.beta, config.widths) == (1000, (1e-4, 0.02), (1024, 512, 256))
        assert (config.heads, config.condition_tokens, config.standardise) == (4, 1, False)
        assert (config.network, config.time_features) == ("published", 256)
        assert (config.epochs, config.batch_size, config.lr, config.samples) == (300, 64, 1e-3, 20)

    @pytest.mark.parametrize(
        ("tree", "message"),
        [
            ({"widths": [16, 8]}, r"three widths, each half of the one before, not \(16, 8\)"),
            ({"condition_tokens": 4}, "one condition token, not 4; set network: compact"),
            ({"network": "unet"}, "network"),
            ({"heads": 3}, r"3 heads do not divide widths \(1024, 512, 256\)"),
            ({"beta": [0.02, 1e-4]}, "put the smaller variance first"),
            ({"beta": [0.0, 0.02]}, "beta"),
            ({"widths": []}, "widths"),
            ({"time_features": 5}, "time_features"),
            ({"standardize": True}, "did you mean standardise"),
        ],
    )
    def test_errors(self, tree, message):
        with pytest.raises(ConfigError, match=message):
            from_tree(DiffusionConfig, tree, "test")


class TestSampling:
    def test_oracle_recovers_a_conditional_gaussian(self):
        model = LatentDiffusion(3, DiffusionConfig(network="compact", widths=(4,), time_features=2))
        model.net = Oracle(model.schedule, spread=0.5)
        condition = torch.tensor([[0.0, 1.0, -1.0], [0.5, 0.0, 0.25]])
        drawn = sample(model, condition, 3000, seed=1)
        assert drawn.shape == (3000, 2, 3)
        torch.testing.assert_close(drawn.mean(0), 2 * condition, atol=0.05, rtol=0)
        torch.testing.assert_close(drawn.std(0), torch.full((2, 3), 0.5), atol=0.03, rtol=0)

    def test_standardisation_is_undone(self):
        """In scaled space the oracle's mean is twice the scaled condition."""
        model = LatentDiffusion(2, DiffusionConfig(network="compact", widths=(4,), time_features=2))
        model.net = Oracle(model.schedule, spread=0.5)
        model.mean.copy_(torch.tensor([10.0, -3.0]))
        model.std.copy_(torch.tensor([2.0, 0.1]))
        drawn = sample(model, torch.tensor([[12.0, -3.0]]), 3000, seed=1)[:, 0]
        torch.testing.assert_close(drawn.mean(0), torch.tensor([14.0, -3.0]), atol=0.1, rtol=0)
        torch.testing.assert_close(drawn.std(0), torch.tensor([1.0, 0.05]), atol=0, rtol=0.1)

    @pytest.mark.parametrize("config", [SMALL, COMPACT])
    def test_a_batch_equals_row_by_row(self, config):
        model = LatentDiffusion(D, config)
        condition, noise = normal(5, D), normal(22, 5, D, seed=1)
        batch = model.denoise(condition, lambda step: noise[step])
        rows = [
            model.denoise(
                condition[row : row + 1], lambda step, row=row: noise[step, row : row + 1]
            )
            for row in range(5)
        ]
        torch.testing.assert_close(batch, torch.cat(rows), rtol=1e-4, atol=1e-4)

    def test_samples_belong_to_their_condition(self):
        model = LatentDiffusion(D, SMALL)
        condition = normal(3, D)
        noise = normal(22, 1, D, seed=1)
        alone = model.denoise(condition[2:], lambda step: noise[step])

        calls = []

        def spread_noise(*shape, **_):
            calls.append(shape)
            return noise[SMALL.steps + 2 - len(calls)].expand(*shape)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "randn", spread_noise)
            drawn = sample(model, condition, 2, seed=0)
        torch.testing.assert_close(drawn[0, 2:], alone, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(drawn[1, 2:], alone, rtol=1e-4, atol=1e-4)
        assert calls == [(6, D)] * SMALL.steps

    def test_seed_decides(self):
        model = LatentDiffusion(D, SMALL)
        condition = normal(2, D)
        first, again = sample(model, condition, 3, 7), sample(model, condition, 3, 7)
        assert torch.equal(first, again)
        assert not torch.equal(first, sample(model, condition, 3, 8))
        assert not torch.equal(first[0], first[1])


class TestTraining:
    def test_learns_the_condition(self):
        """Targets are the condition, turned, with a little noise: samples must follow it."""
        config = DiffusionConfig(
            steps=50,
            beta=(1e-3, 0.2),
            widths=(48, 24, 12),
            time_features=16,
            epochs=30,
            batch_size=32,
            lr=3e-3,
        )
        condition = normal(320, 3)
        target = condition.roll(1, dims=1) + 0.1 * normal(320, 3, seed=1)
        held_out, truth = condition[256:], target[256:]
        losses = []
        model = train_diffusion(
            lambda epoch: condition[:256],
            target[:256],
            (held_out, truth),
            config,
            0,
            lambda epoch, metrics: losses.append(metrics["validation_loss"]),
        )
        assert losses[-1] < 0.5 * losses[0]
        error = (sample(model, held_out, 8, 0).mean(0) - truth).square().mean()
        assert error < 0.2 * truth.square().mean()

    def test_conditions_are_drawn_once_an_epoch_and_metrics_reported(self):
        drawn, reported = [], []

        def conditions(epoch):
            drawn.append(epoch)
            return normal(9, D, seed=epoch)

        train_diffusion(
            conditions,
            normal(9, D),
            (normal(5, D), normal(5, D)),
            SMALL,
            0,
            lambda epoch, metrics: reported.append((epoch, set(metrics), metrics["lr"])),
        )
        assert drawn == [0, 1, 2]
        keys = {"loss", "validation_loss", "lr"}
        assert reported == [(epoch, keys, 1e-3) for epoch in range(3)]

    def test_seed_decides_everything(self):
        def run(seed, outer):
            torch.manual_seed(outer)
            losses = []
            model = train_diffusion(
                lambda epoch: normal(9, D) + 0 * torch.rand(1),
                normal(9, D),
                (normal(5, D), normal(5, D)),
                SMALL,
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

    def test_standardise_takes_mean_and_spread_of_the_targets(self):
        targets = torch.tensor([[1.0, 10.0], [3.0, 30.0]])
        config = DiffusionConfig(
            steps=5, widths=(4, 2, 1), heads=1, time_features=2, epochs=1, standardise=True
        )
        model = train_diffusion(
            lambda epoch: targets, targets, (targets, targets), config, 0, ignore
        )
        torch.testing.assert_close(model.mean, torch.tensor([2.0, 20.0]))
        torch.testing.assert_close(model.std, torch.tensor([1.0, 10.0]))
        with pytest.raises(ValueError, match="1 of 2 embedding components do not vary"):
            model.standardise_like(torch.tensor([[1.0, 5.0], [1.0, 7.0]]))

    def test_state_dict_holds_all_that_sampling_needs(self):
        targets = 0.07 * normal(9, D) + 2
        config = DiffusionConfig(
            steps=5, widths=(16, 8, 4), time_features=2, epochs=1, standardise=True
        )
        model = train_diffusion(
            lambda epoch: targets, targets, (targets, targets), config, 0, ignore
        )
        restored = LatentDiffusion(D, config)
        restored.load_state_dict(model.state_dict())
        assert torch.equal(sample(restored, targets[:2], 2, 0), sample(model, targets[:2], 2, 0))

    def test_other_days_are_an_error(self):
        pair = (normal(5, D), normal(5, D))
        with pytest.raises(ValueError, match=r"training conditions have shape \(8, 7\)"):
            train_diffusion(lambda epoch: normal(8, D), normal(9, D), pair, SMALL, 0, ignore)
        with pytest.raises(ValueError, match="validation conditions"):
            train_diffusion(
                lambda epoch: normal(9, D),
                normal(9, D),
                (normal(5, D), normal(4, D)),
                SMALL,
                0,
                ignore,
            )
