import numpy as np
import pytest

from sparta_ray.metrics.probes import (
    block_agreement,
    cluster_agreement,
    knn_probe,
    linear_probe,
    normalised_mutual_information,
)


def blobs(rng, days, centres, noise=0.2):
    labels = rng.integers(len(centres), size=days)
    return np.array(centres)[labels] + noise * rng.normal(size=(days, len(centres[0]))), labels


CENTRES = [[0, 0, 3], [3, 0, 0], [0, 3, 0], [-3, -3, 0]]
XOR = [[1, 1], [-1, -1], [1, -1], [-1, 1]]


def test_both_probes_find_classes_that_lie_apart():
    rng = np.random.default_rng(0)
    train, validation, test = (blobs(rng, days, CENTRES) for days in (120, 40, 50))
    assert (linear_probe(train, validation, test[0]) == test[1]).all()
    assert (knn_probe(train, test[0], neighbours=5) == test[1]).all()


def test_only_neighbours_find_what_is_not_linear():
    rng = np.random.default_rng(1)

    def crossed(days):
        h, corner = blobs(rng, days, XOR)
        return h, corner // 2  # opposite corners are of one class

    train, validation, test = crossed(400), crossed(100), crossed(200)
    assert (linear_probe(train, validation, test[0]) == test[1]).mean() < 0.7
    assert (knn_probe(train, test[0]) == test[1]).mean() > 0.95


def test_the_linear_probe_ignores_scale_and_constant_components():
    rng = np.random.default_rng(2)
    train, validation, test = (blobs(rng, days, CENTRES) for days in (120, 40, 50))

    def stretched(h):
        return np.concatenate([h * [1e-6, 1, 1e6], np.full((len(h), 1), 7.0)], axis=1)

    plain = linear_probe(train, validation, test[0])
    found = linear_probe(
        (stretched(train[0]), train[1]), (stretched(validation[0]), validation[1]),
        stretched(test[0]),
    )  # fmt: skip
    assert (found == plain).all()


def test_the_strength_of_the_penalty_is_chosen_on_validation_days():
    rng = np.random.default_rng(3)
    train, validation, test = (blobs(rng, days, CENTRES) for days in (30, 60, 60))

    def noisy(pair):  # more components of noise than training days
        return np.concatenate([pair[0], rng.normal(size=(len(pair[0]), 60))], axis=1), pair[1]

    guesses = linear_probe(noisy(train), noisy(validation), noisy(test)[0])
    assert (guesses == test[1]).mean() > 0.5


def test_probes_refuse_a_single_class_and_too_few_days():
    h, one = np.zeros((30, 2)), np.ones(30, dtype=np.int64)
    with pytest.raises(ValueError, match="single class"):
        knn_probe((h, one), h)
    with pytest.raises(ValueError, match="single class"):
        linear_probe((h, one), (h, one), h)
    with pytest.raises(ValueError, match="5 training days cannot give 20 neighbours"):
        knn_probe((h[:5], np.array([0, 1, 0, 1, 0])), h)


def test_mutual_information_by_hand():
    a = np.array([0, 0, 1, 1])
    assert normalised_mutual_information(a, 1 - a) == pytest.approx(1)
    assert normalised_mutual_information(a, np.array([0, 1, 0, 1])) == pytest.approx(0, abs=1e-12)
    # Four clusters of two classes share ln 2 of ln 4 and ln 2.
    assert normalised_mutual_information(np.arange(4), a) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="single part"):
        normalised_mutual_information(a, np.zeros(4))


def test_clusters_agree_with_classes_that_lie_apart_and_not_with_random_ones():
    rng = np.random.default_rng(4)
    h, labels = blobs(rng, 200, CENTRES)
    assert cluster_agreement(h, labels, 4, seed=0) == pytest.approx(1)
    assert cluster_agreement(h, labels, 4, seed=0) == cluster_agreement(h, labels, 4, seed=0)
    assert cluster_agreement(h, rng.permutation(labels), 4, seed=0) < 0.1
    assert cluster_agreement(h, labels, 8, seed=0) < 0.9  # more clusters than classes
    with pytest.raises(ValueError, match="3 days cannot make 4 clusters"):
        cluster_agreement(h[:3], labels[:3], 4, seed=0)


def test_blocks_of_consecutive_days_and_what_is_left_of_them():
    rng = np.random.default_rng(4)
    days = np.arange(256)
    h = rng.normal(size=(13, 5))[days // 21] * 9 + 0.01 * rng.normal(size=(256, 5))
    assert block_agreement(h, clusters=12, seed=0) > 0.9  # 12 blocks of 21 days and one of 4
    assert cluster_agreement(h, days // 21, 12, 0, starts=1) == block_agreement(h, 12, 0)
    assert block_agreement(h, clusters=13, seed=0) < 1  # 13 blocks of 19 days and one of 9
    shuffled = rng.permutation(h)
    assert block_agreement(shuffled, clusters=12, seed=0) < 0.4
    with pytest.raises(ValueError, match="3 days cannot make 4 clusters"):
        block_agreement(h[:3], clusters=4, seed=0)
