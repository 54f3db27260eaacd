import numpy as np
import pytest
import torch

from sparta_ray.base.config import from_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.downstream.classification import (
    ClassificationConfig,
    SeasonClassifier,
    score_classifier,
    train_classifier,
)
from sparta_ray.downstream.training import minibatches

D = 7
SMALL = ClassificationConfig(hidden=(9, 6), epochs=3, batch_size=4)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def blobs(days, seed=0):
    """Four clouds, one a season, three standard deviations apart."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(days) % 4
    return 3 * torch.eye(4, D)[labels] + torch.randn(days, D, generator=generator), labels


def ignore(epoch, metrics):
    pass


class TestConfig:
    def test_published_defaults(self):
        config = ClassificationConfig()
        assert (config.hidden, config.dropout, config.epochs) == ((250, 62), 0.5, 100)
        assert (config.batch_size, config.lr, config.weight_decay) == (64, 1e-3, 1e-2)

    @pytest.mark.parametrize(
        "tree", [{"hidden": []}, {"batch_size": 1}, {"dropout": 1.0}, {"lr": 0}, {"units": 3}]
    )
    def test_errors(self, tree):
        with pytest.raises(ConfigError, match=next(iter(tree))):
            from_tree(ClassificationConfig, tree, "test")


class TestSeasonClassifier:
    def test_published_shapes(self):
        model = SeasonClassifier(1000, ClassificationConfig())
        shapes = [tuple(p.shape) for p in model.parameters() if p.ndim == 2]
        assert shapes == [(250, 1000), (62, 250), (4, 62)]
        norms = 2 * 250 + 2 * 62
        assert sum(p.numel() for p in model.parameters()) == 250 * 1001 + 62 * 251 + 4 * 63 + norms
        assert model(torch.zeros(3, 1000)).shape == (3, 4)

    def test_score_by_hand(self):
        model = SeasonClassifier(D, SMALL)
        for parameter in model.parameters():
            parameter.data.zero_()
        model.layers[-1].bias.data[1] = np.log(3.0)  # odds 1 : 3 : 1 : 1
        loss, accuracy = score_classifier(model, torch.randn(3, D), torch.tensor([1, 1, 0]))
        assert loss == pytest.approx((2 * np.log(2) + np.log(6)) / 3)
        assert accuracy == pytest.approx(2 / 3)
        assert model.training


class TestMinibatches:
    def test_every_row_once(self):
        batches = minibatches(11, 4, seed=0)
        assert [len(batch) for batch in batches] == [4, 4, 3]
        assert sorted(torch.cat(batches).tolist()) == list(range(11))

    def test_a_last_single_row_joins_the_batch_before(self):
        assert [len(batch) for batch in minibatches(9, 4, seed=0)] == [4, 4, 1]
        merged = minibatches(9, 4, seed=0, fewest=2)
        assert [len(batch) for batch in merged] == [4, 5]
        assert sorted(torch.cat(merged).tolist()) == list(range(9))
        assert [len(batch) for batch in minibatches(8, 4, seed=0, fewest=2)] == [4, 4]

    def test_order_follows_the_seed(self):
        orders = [torch.cat(list(minibatches(50, 7, seed))).tolist() for seed in (1, 1, 2)]
        assert orders[0] == orders[1] != orders[2]


class TestTraining:
    def test_separates_blobs_far_above_chance(self):
        train, labels = blobs(240)
        validation = blobs(81, seed=1)
        config = ClassificationConfig(epochs=20, batch_size=32)
        reported = []
        model = train_classifier(
            lambda epoch: train, labels, validation, config, 0, lambda _, m: reported.append(m)
        )
        loss, accuracy = score_classifier(model, *validation)
        assert accuracy > 0.85
        assert reported[-1]["validation_accuracy"] == accuracy
        assert reported[-1]["validation_loss"] == pytest.approx(loss)

    @pytest.mark.parametrize("days", [5, 9])
    def test_a_last_batch_of_one_day_is_trained_on(self, days):
        h, labels = blobs(days)
        model = train_classifier(lambda epoch: h, labels, blobs(6), SMALL, 0, ignore)
        assert all(p.isfinite().all() for p in model.parameters())

    def test_latents_are_drawn_once_an_epoch_and_metrics_reported(self):
        drawn, reported = [], []

        def latents(epoch):
            drawn.append(epoch)
            return blobs(11, seed=epoch)[0]

        train_classifier(
            latents,
            blobs(11)[1],
            blobs(6),
            SMALL,
            0,
            lambda epoch, metrics: reported.append((epoch, set(metrics))),
        )
        assert drawn == [0, 1, 2]
        keys = {"loss", "validation_loss", "validation_accuracy", "lr"}
        assert reported == [(epoch, keys) for epoch in range(3)]

    def test_seed_decides_everything(self):
        def run(seed, outer):
            torch.manual_seed(outer)
            losses = []
            model = train_classifier(
                lambda epoch: blobs(11)[0] + 0 * torch.rand(1),
                blobs(11)[1],
                blobs(6),
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

    def test_labels_that_do_not_fit_are_an_error(self):
        h, labels = blobs(11)
        with pytest.raises(ValueError, match=r"training has 11 embeddings.*\(10,\)"):
            train_classifier(lambda epoch: h, labels[:10], blobs(6), SMALL, 0, ignore)
        with pytest.raises(ValueError, match="labels run from 1 to 4"):
            train_classifier(lambda epoch: h, labels + 1, blobs(6), SMALL, 0, ignore)
        with pytest.raises(ValueError, match="at least two days"):
            train_classifier(lambda epoch: h[:1], labels[:1], blobs(6), SMALL, 0, ignore)
