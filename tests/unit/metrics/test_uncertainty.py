import numpy as np
import pytest
import scipy.signal

from sparta_ray.metrics.case_sums import Cases, CaseSums
from sparta_ray.metrics.records import Score, Subject
from sparta_ray.metrics.uncertainty import (
    BootstrapConfig,
    block_draws,
    compare,
    compare_alike,
    interval_of,
    spread_over_seeds,
)

CONFIG = BootstrapConfig(block_days=25, draws=400)


def means(values, model="a", seed=0, run="", every=1):
    days = np.arange(len(values)) * float(every)
    found = Cases(Subject("forecast", model, seed=seed), days).mean("rrmse", np.array(values))
    score = Score(**{**vars(found.score), "run": run})
    return type(found)(score, found.form, found.days, found.sums)


def autoregressive(rng, windows, memory=0.8):
    noise = rng.normal(size=windows + 200)
    return scipy.signal.lfilter([1], [1, -memory], noise)[200:]


def test_blocks_run_on_around_the_circle_and_are_equally_likely():
    # Two blocks of two on the circle of four windows: each window's count is 0, 1 or 2.
    counts = block_draws(windows=4, block=2, draws=80_000, seed=2)
    assert (counts.sum(axis=1) == 4).all()
    means_of_0011 = counts @ np.array([0, 0, 1, 1]) / 4
    # A block's mean is 0, 1/2, 1 or (around the end) 1/2; of two of them, by hand:
    expected = {0: 1 / 16, 0.25: 4 / 16, 0.5: 6 / 16, 0.75: 4 / 16, 1: 1 / 16}
    for value, share in expected.items():
        assert (means_of_0011 == value).mean() == pytest.approx(share, abs=0.01)


def test_a_block_of_all_windows_never_changes_their_mean():
    assert (block_draws(5, 5, 100, seed=0) == 1).all()


def test_the_last_block_is_cut_short():
    assert (block_draws(7, 3, 50, seed=0).sum(axis=1) == 7).all()


def test_intervals_cover_the_truth_of_correlated_series_only_with_blocks():
    rng = np.random.default_rng(0)
    series = [means(autoregressive(rng, 500)) for _ in range(150)]

    def coverage(block_days):
        config = BootstrapConfig(block_days=block_days, draws=300)
        return np.mean([interval_of([one], config).holds(0.0) for one in series])

    assert 0.85 <= coverage(25) <= 0.99
    assert coverage(1) < 0.65


def test_blocks_are_days_whatever_the_windows_spacing():
    rng = np.random.default_rng(1)
    values = rng.normal(size=60)
    daily = interval_of([means(values)], BootstrapConfig(block_days=2))
    spaced = interval_of([means(values, every=5)], BootstrapConfig(block_days=10))
    assert (daily.low, daily.high) == (spaced.low, spaced.high)


def test_too_few_windows_say_so():
    found = interval_of([means(np.arange(99.0))], CONFIG)
    assert (found.low, found.high) == (None, None)
    assert found.reason == ("too few windows: 99 make 3 blocks of 25 days, and an interval needs 5")


def test_a_paired_difference_is_found_where_single_intervals_overlap():
    rng = np.random.default_rng(2)
    weather = autoregressive(rng, 400)
    worse = [means(weather + 10)]
    better = [means(weather + 9.9 + 0.05 * rng.normal(size=400), "b")]
    alone = [interval_of(side, CONFIG) for side in (worse, better)]
    assert alone[0].low < alone[1].high
    found = compare(better, worse, "lower", CONFIG)
    assert found.verdict == "better"
    assert found.difference == pytest.approx(-0.1, abs=0.02)
    assert found.interval.high < 0
    assert compare(worse, better, "lower", CONFIG).verdict == "worse"
    assert compare(worse, better, "higher", CONFIG).verdict == "better"


def test_equal_models_are_not_separable():
    values = autoregressive(np.random.default_rng(3), 400)
    found = compare([means(values)], [means(values, "b")], "lower", CONFIG)
    assert (found.verdict, found.difference) == ("not separable", 0)
    assert found.reason == "the interval of the difference holds 0"


def test_a_difference_as_large_as_that_between_seeds_is_not_separable():
    weather = autoregressive(np.random.default_rng(4), 400)

    def seeds(*shifts):
        return [means(weather + shift, seed=i) for i, shift in enumerate(shifts)]

    apart = compare(seeds(10.0, 10.1, 9.9), seeds(12.0, 12.1, 11.9), "lower", CONFIG)
    assert apart.verdict == "better"
    scattered = compare(seeds(8.0, 12.0, 11.0), seeds(12.0, 9.0, 13.0), "lower", CONFIG)
    assert scattered.verdict == "not separable"
    assert "Welch" in scattered.reason


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        ((10.2,), (10.0,), "alike"),
        ((12.0,), (10.0,), "unlike"),
        ((8.0,), (10.0,), "unlike"),
        ((11.0,), (10.0,), "not separable"),  # the interval lies on both sides of the margin
        ((10.2, 10.3, 10.1), (10.0, 10.1, 9.9), "alike"),
        ((12.2, 12.3, 12.1), (10.0, 10.1, 9.9), "unlike"),
        ((8.2, 12.3, 10.1), (10.0, 11.9, 8.1), "not separable"),  # seeds scatter more
    ],
)
def test_alike_is_within_a_margin_beyond_windows_and_seeds(ours, theirs, verdict):
    rng = np.random.default_rng(6)
    weather = 0.1 * autoregressive(rng, 400)
    weather -= weather.mean()

    def seeds(model, shifts):
        noise = 0.2 * rng.normal(size=400)
        noise -= noise.mean()
        return [means(weather + noise + s, model, seed=i) for i, s in enumerate(shifts)]

    found = compare_alike(seeds("a", ours), seeds("b", theirs), 0.1, CONFIG)
    assert found.verdict == verdict
    assert bool(found.reason) == (verdict == "not separable")


def test_too_few_windows_are_not_called_alike():
    found = compare_alike([means(np.ones(99))], [means(np.ones(99), "b")], 0.1, CONFIG)
    assert found.verdict == "not separable"
    assert "too few windows" in found.reason


def test_bias_is_compared_by_its_size():
    noise = 0.1 * np.random.default_rng(5).normal(size=300)
    found = compare([means(noise - 5)], [means(noise + 1, "b")], "nearer zero", CONFIG)
    assert (found.verdict, found.difference) == ("worse", pytest.approx(4, abs=0.05))


def test_other_windows_are_not_compared():
    found = compare([means(np.ones(300))], [means(np.ones(301), "b")], "lower", CONFIG)
    assert (found.verdict, found.reason) == ("not compared", "they were scored on other windows")


def test_spread_is_over_runs_where_there_are_several():
    def score(value, run, seed):
        return Score("forecast", "a", "rrmse", value, seed=seed, run=run)

    assert spread_over_seeds([score(1.0, "", 0)]) is None
    assert spread_over_seeds([score(1.0, "", 0), score(3.0, "", 42)]) == pytest.approx(2**0.5)
    two_runs = [score(1.0, "r0", 0), score(3.0, "r0", 42), score(4.0, "r1", 0), score(6, "r1", 42)]
    assert spread_over_seeds(two_runs) == pytest.approx(3 / 2**0.5)  # of 2 and 5


def relative(truth_mean, model="a", cases=300):
    """Return RRMSE of cases whose truth varies around its mean."""
    noise = np.random.default_rng(7).normal(size=cases)
    truth = truth_mean + noise - noise.mean()
    sums = np.stack([np.ones(cases), truth, np.ones(cases)])
    value = 100 / truth.mean() if truth.mean() > 0 else 1.0
    score = Score("forecast", model, "rrmse", value)
    return CaseSums(score, "relative root mean", np.arange(float(cases)), sums)


def test_a_score_without_a_value_has_no_interval_and_is_not_compared():
    found = interval_of([relative(-3.0)], CONFIG)
    assert found.low is None
    assert "not above 0" in found.reason
    comparison = compare([relative(-3.0)], [relative(3.0, "b")], "lower", CONFIG)
    assert (comparison.verdict, comparison.difference) == ("not compared", None)
    assert "not above 0" in comparison.reason


def test_a_score_that_some_draws_do_not_have_has_no_interval():
    barely = relative(0.05)
    assert barely.why_undefined == ""
    found = interval_of([barely], CONFIG)
    assert (found.low, found.reason) == (
        None, "the score has no value for some of the windows drawn",
    )  # fmt: skip
    comparison = compare([barely], [relative(3.0, "b")], "lower", CONFIG)
    assert (comparison.verdict, comparison.reason) == ("not separable", found.reason)
