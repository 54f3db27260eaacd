"""How sure a score is: block-bootstrap intervals over windows, spread over seeds, verdicts.

Windows of neighbouring days are correlated, so whole blocks of days are drawn again, around the
circle of all windows (Politis and Romano's circular block bootstrap). What a training run adds by
its own chance is not in these intervals; it is the spread over seeds, which is told apart.

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
"""Why a score that most cases together have has no interval."""


@dataclass(frozen=True)
class Interval:
    """Where a number lies with the level's confidence, or why that cannot be said.

    Attributes:
        low: Lower end, or None.
        high: Upper end, or None.
        reason: Why there is none; empty where there is one.
    """

    low: float | None
    high: float | None
    reason: str = ""

    def holds(self, value: float) -> bool:
        """Return whether a value lies inside."""
        assert self.low is not None
        assert self.high is not None
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Comparison:
    """One model's score less another's, and what can be said of it.

    Attributes:
        difference: Mean over seeds of the one, less that of the other; None if not compared.
        interval: Of the difference, over windows drawn for both at once.
        verdict: Whether the one is better, or, where that is asked, whether they are alike.
        reason: Why nothing can be told apart or compared; otherwise empty.
    """

    difference: float | None
    interval: Interval
    verdict: Verdict
    reason: str


def interval_of(replicas: Sequence[CaseSums], config: BootstrapConfig) -> Interval:
    """Return the interval over windows of the mean over replicas, such as seeds.

    Args:
        replicas: The same score of the same windows, from one training each.
        config: How it is drawn.
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

    The one is better or worse if the interval of the difference leaves out 0 and, where both have
    several seeds, Welch's t-test of the seeds also tells them apart.

    Args:
        ours: One model's replicas.
        theirs: The other's.
        better: Which direction is better.
        config: How intervals are drawn.
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
    """Compare two models on the same windows: do they differ by less than a margin?

    They are alike if the interval of the difference lies within the margin, unlike if it lies
    outside. Where both have several seeds, that of Welch's t-test must say the same.

    Args:
        ours: One model's replicas.
        theirs: The other's.
        margin: Largest difference, as a part of the other's value.
        config: How intervals are drawn.
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
    """Return the standard deviation over trainings, or None where there is one.

    Runs count where there are several; each is then the mean of its own downstream seeds.
    """
    values = _means_by_training(scores, [score.value for score in scores])
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def block_draws(windows: int, block: int, draws: int, seed: int) -> NDArray[np.float64]:
    """Return how often each window is in each draw, shape (R, W).

    A draw is as many blocks of consecutive windows as fill all windows, the last one cut short;
    blocks start anywhere and run on from the last window to the first.
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
    """Return the windows in a block."""
    apart = float(np.median(np.diff(days))) if len(days) > 1 else 1.0
    return max(1, round(config.block_days / apart))


def _too_few(days: NDArray[np.float64], config: BootstrapConfig) -> str:
    """Return why windows are too few for an interval, or nothing."""
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
    """Return why seeds do not tell two models apart, or nothing; one seed says nothing."""
    if not _seeds_vary(ours, theirs):
        return ""
    p = float(scipy.stats.ttest_ind(ours, theirs, equal_var=False).pvalue)
    return "" if p < 1 - level else f"seeds differ as much (Welch's t-test, p = {p:.2f})"


def _seeds_vary(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    several = min(len(ours), len(theirs)) > 1
    return several and bool(max(np.ptp(ours), np.ptp(theirs)) > 0)
