import numpy as np
import pytest

from sparta_ray.metrics.case_sums import Cases
from sparta_ray.metrics.ensembles import fair_crps
from sparta_ray.metrics.records import Absent, Subject
from sparta_ray.metrics.scoring import EnsembleSums

LABELS = ("2m_temperature", "geopotential@850")


def test_fair_crps_equals_a_double_loop():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3)), rng.normal(size=3)
    for k in range(3):
        error = np.mean([abs(a - y[k]) for a in x[:, k]])
        apart = sum(abs(a - b) for a in x[:, k] for b in x[:, k]) / (2 * 5 * 4)
        assert fair_crps(x, y)[k] == pytest.approx(error - apart)


def test_alike_samples_score_their_absolute_error():
    assert fair_crps(np.full((4, 1), 3.0), np.array([1.0])) == pytest.approx([2.0])
    with pytest.raises(ValueError, match="at least 2 samples"):
        fair_crps(np.zeros((1, 2)), np.zeros(2))


def test_fair_crps_does_not_depend_on_the_number_of_samples():
    rng = np.random.default_rng(1)
    truth = rng.normal(size=40_000)
    few, many = (fair_crps(rng.normal(size=(s, 40_000)), truth).mean() for s in (2, 20))
    expected = 1 / np.sqrt(np.pi)  # of a standard normal forecast of a standard normal truth
    assert few == pytest.approx(expected, abs=0.01)
    assert many == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(("spread", "ratio"), [(1.0, 1.0), (0.5, 0.5)])
def test_spread_skill_is_one_for_a_reliable_ensemble(spread, ratio):
    rng = np.random.default_rng(2)
    centre = rng.normal(size=(60, 2, 8, 5))
    truth = centre + rng.normal(size=centre.shape)
    samples = centre + spread * rng.normal(size=(3, *centre.shape))
    if spread != 1.0:  # the error of the mean is then mostly the truth's own
        ratio = np.sqrt(spread**2 * 4 / 3 / (1 + spread**2 / 3))
    sums = EnsembleSums(LABELS, np.ones(5))
    for part in (slice(0, 50), slice(50, 60)):
        sums.update(samples[:, part], truth[part])
    found = list(sums.sums(Cases(Subject("diffusion", "sparta"), np.arange(60.0))))
    assert [(f.score.metric, f.score.variable) for f in found] == [
        (metric, label) for label in LABELS for metric in ("crps", "spread-skill ratio")
    ]
    for one in found:
        assert one.sums.shape == (2, 60)
        assert one.result(one.sums.sum(axis=1)) == one.score.value
        if one.score.metric == "spread-skill ratio":
            assert one.score.value == pytest.approx(ratio, abs=0.05)


def test_missing_truth_is_not_scored():
    truth = np.zeros((1, 1, 2, 2))
    truth[0, 0, 0] = np.nan
    samples = np.ones((2, 1, 1, 2, 2))
    samples[:, :, :, 0] = 99
    sums = EnsembleSums(LABELS[:1], np.ones(2))
    sums.update(samples, truth)
    crps = next(sums.sums(Cases(Subject("diffusion", "sparta"), np.zeros(1))))
    assert crps.score.value == 1


def test_a_variable_without_any_truth_has_no_score():
    sums = EnsembleSums(LABELS, np.ones(2))
    truth = np.stack([np.zeros((3, 2, 2)), np.full((3, 2, 2), np.nan)], axis=1)
    sums.update(np.ones((2, *truth.shape)), truth)
    crps, ratio, *missing = sums.sums(Cases(Subject("diffusion", "sparta"), np.arange(3.0)))
    assert (crps.score.value, ratio.score.value) == (1, 0)
    reason = "geopotential@850: there is no true value to compare with"
    assert missing[0] == Absent("diffusion", "sparta", "crps", reason)
    assert missing[1].metric == "spread-skill ratio"
