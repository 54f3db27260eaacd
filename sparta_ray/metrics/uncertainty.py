"""How certain a score is: block-bootstrap intervals over windows, spread over seeds, verdicts.

The errors of neighbouring days are correlated, so whole blocks of consecutive windows are resampled
(the circular block bootstrap of Politis and Romano, in which the last window is followed by the
first). These intervals do not include the randomness of training, which is reported separately as
the spread over seeds.

Legend: P sums, W windows, R draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from sparta_ray.base.seeding import derive_seed
from sparta_ray.metrics.case_sums import CaseSums
from sparta_ray.metrics.config import BootstrapConfig
from sparta_ray.metrics.metric import Better
from sparta_ray.metrics.records import Score

Verdict = Literal["better", "worse", "alike", "unlike", "not separable", "not compared"]

WITHOUT_VALUE = "the score has no value for some of the windows drawn"
"""Why a score has no interval although all windows together have a value."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval, or the reason why there is none.

    Attributes:
        low: Lower end, or None.
        high: Upper end, or None.
        reason: Why there is none; empty where there is one.
    """

    low: float | None
    high: float | None
    reason: str = ""

    def holds(self, value: float) -> bool:
        """Return whether a value lies inside; there must be an interval."""
        assert self.low is not None
        assert self.high is not None
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Comparison:
    """The difference between two models' scores, and whether it is significant.

    Attributes:
        difference: The first model's mean over seeds minus the second's; None if not compared.
        interval: Of the difference; each draw takes the same windows for both models.
        verdict: Whether the first is better or, where that was asked, whether they are alike.
        reason: Why the models cannot be compared or separated; otherwise empty.
    """

    difference: float | None
    interval: Interval
    verdict: Verdict
    reason: str


def interval_of(replicas: Sequence[CaseSums], config: BootstrapConfig) -> Interval:
    """Return the interval over windows of a score that is averaged over replicas, such as seeds.

    Args:
        replicas: The same score of the same windows, from one training each.
        config: How windows are resampled.
    """
    undefined = next(filter(None, (found.why_undefined for found in replicas)), "")
    if reason := undefined or _too_few(replicas[0].days, config):
        return Interval(None, None, reason)
    return _between(_drawn(replicas, config), config)


def compare(
    ours: Sequence[CaseSums],
    theirs: Sequence[CaseSums],
    better: Better,
    config: BootstrapConfig,
) -> Comparison:
    """Compare two models on the same windows.

    The first is better or worse if the interval of the difference does not contain 0 and, where
    both have several seeds, Welch's t-test of the seeds is also significant.

    Args:
        ours: The first model's replicas.
        theirs: The second model's replicas.
        better: Which direction is better.
        config: How windows are resampled.
    """
    nothing = Interval(None, None)
    if not len(ours[0].days) or not np.array_equal(ours[0].days, theirs[0].days):
        return Comparison(None, nothing, "not compared", "they were scored on other windows")
    if undefined := next(filter(None, (found.why_undefined for found in (*ours, *theirs))), ""):
        return Comparison(None, nothing, "not compared", undefined)
    our_seeds, their_seeds = _by_replicate(ours, better), _by_replicate(theirs, better)
    difference = float(np.mean(our_seeds) - np.mean(their_seeds))
    if reason := _too_few(ours[0].days, config):
        return Comparison(difference, Interval(None, None, reason), "not separable", reason)
    drawn = _drawn(ours, config, better) - _drawn(theirs, config, better)
    found = _between(drawn, config)
    if found.reason:
        return Comparison(difference, found, "not separable", found.reason)
    reason = "the interval of the difference holds 0" if found.holds(0) else ""
    reason = reason or _seeds_overlap(our_seeds, their_seeds, config.level)
    is_better = (difference > 0) == (better == "higher")
    verdict: Verdict = "not separable" if reason else "better" if is_better else "worse"
    return Comparison(difference, found, verdict, reason)


def compare_alike(
    ours: Sequence[CaseSums], theirs: Sequence[CaseSums], margin: float, config: BootstrapConfig
) -> Comparison:
    """Test whether two models differ by less than a margin, on the same windows.

    They are alike if the interval of the difference lies within the margin, and unlike if it lies
    outside. Where both have several seeds, the confidence interval of Welch's t-test must lie there
    too.

    Args:
        ours: The first model's replicas.
        theirs: The second model's replicas.
        margin: Largest difference, as a fraction of the second model's value.
        config: How windows are resampled.
    """
    found = compare(ours, theirs, "lower", config)
    if found.interval.low is None or found.interval.high is None:
        return found
    our_seeds, their_seeds = _by_replicate(ours, "lower"), _by_replicate(theirs, "lower")
    low, high = found.interval.low, found.interval.high
    if _seeds_vary(our_seeds, their_seeds):
        test = scipy.stats.ttest_ind(our_seeds, their_seeds, equal_var=False)
        of_seeds = test.confidence_interval(config.level)
        low, high = min(low, float(of_seeds.low)), max(high, float(of_seeds.high))
    most = margin * abs(float(np.mean(their_seeds)))
    if -most <= low and high <= most:
        return replace(found, verdict="alike", reason="")
    if low > most or high < -most:
        return replace(found, verdict="unlike", reason="")
    reason = f"the interval of the difference holds {margin:.0%} of the value"
    return replace(found, verdict="not separable", reason=reason)


def spread_over_seeds(scores: Sequence[Score]) -> float | None:
    """Return the standard deviation over trainings; None if there is only one.

    If the scores are of several runs, each run counts once, with the mean of its downstream seeds.
    """
    values = _means_by_training(scores, [score.value for score in scores])
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def block_draws(windows: int, block: int, draws: int, seed: int) -> NDArray[np.float64]:
    """Return how often each window is in each draw, shape (R, W).

    A draw joins blocks of consecutive windows until it has as many windows as there are; its last
    block is cut short. Blocks start at random and continue from the last window to the first.
    """
    rng = np.random.default_rng(seed)
    starts = rng.integers(windows, size=(draws, -(-windows // block)))
    chosen = (starts[:, :, None] + np.arange(block)).reshape(draws, -1)[:, :windows] % windows
    rows = np.arange(draws)[:, None] * windows
    counts = np.bincount((rows + chosen).ravel(), minlength=draws * windows)
    return counts.reshape(draws, windows).astype(np.float64)


@lru_cache(maxsize=8)
def _cached_draws(windows: int, block: int, draws: int) -> NDArray[np.float64]:
    return block_draws(windows, block, draws, derive_seed(0, "bootstrap"))


def _block(days: NDArray[np.float64], config: BootstrapConfig) -> int:
    """Return the number of windows in a block."""
    apart = float(np.median(np.diff(days))) if len(days) > 1 else 1.0
    return max(1, round(config.block_days / apart))


def _too_few(days: NDArray[np.float64], config: BootstrapConfig) -> str:
    """Return why there are too few windows for an interval; empty if there are enough."""
    blocks = len(days) // _block(days, config)
    if blocks >= config.fewest_blocks:
        return ""
    return (
        f"too few windows: {len(days)} make {blocks} blocks of {config.block_days} days, and an "
        f"interval needs {config.fewest_blocks}"
    )


def _drawn(
    replicas: Sequence[CaseSums], config: BootstrapConfig, better: Better | None = None
) -> NDArray[np.float64]:
    """Return the mean over replicas of the score of each draw, shape (R,)."""
    days = replicas[0].days
    assert all(np.array_equal(replica.days, days) for replica in replicas)
    counts_RW = _cached_draws(len(days), _block(days, config), config.draws)
    values = [replica.result(counts_RW @ replica.sums.T) for replica in replicas]
    if better == "nearer zero":
        values = [np.abs(value) for value in values]
    return np.asarray(np.mean(values, axis=0))


def _between(drawn_R: NDArray[np.float64], config: BootstrapConfig) -> Interval:
    if not np.isfinite(drawn_R).all():
        return Interval(None, None, WITHOUT_VALUE)
    tail = (1 - config.level) / 2
    low, high = np.quantile(drawn_R, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _by_replicate(replicas: Sequence[CaseSums], better: Better) -> list[float]:
    values = [replica.score.value for replica in replicas]
    if better == "nearer zero":
        values = [abs(value) for value in values]
    return _means_by_training([replica.score for replica in replicas], values)


def _means_by_training(scores: Sequence[Score], values: Sequence[float]) -> list[float]:
    """Return one value for each run where there are several, otherwise one for each seed."""
    if len({score.run for score in scores}) == 1:
        return list(values)
    by_run: dict[str, list[float]] = {}
    for score, value in zip(scores, values, strict=True):
        by_run.setdefault(score.run, []).append(value)
    return [float(np.mean(found)) for found in by_run.values()]


def _seeds_overlap(ours: Sequence[float], theirs: Sequence[float], level: float) -> str:
    """Return why two models' seeds are not significantly different; empty if they are.

    It is also empty if one of the models has a single seed, which cannot be tested.
    """
    if not _seeds_vary(ours, theirs):
        return ""
    p = float(scipy.stats.ttest_ind(ours, theirs, equal_var=False).pvalue)
    return "" if p < 1 - level else f"seeds differ as much (Welch's t-test, p = {p:.2f})"


def _seeds_vary(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    several = min(len(ours), len(theirs)) > 1
    return several and bool(max(np.ptp(ours), np.ptp(theirs)) > 0)
