"""Scores of an ensemble of fields: CRPS, and whether its spread tells its error.

Legend: S samples, W windows, V variables, X × Y grid.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparta_ray.base import variables
from sparta_ray.metrics.case_sums import Cases, CaseSums

Floats = NDArray[np.floating[Any]]


def fair_crps(samples: Floats, truth: Floats) -> NDArray[np.float64]:
    """Return the continuous ranked probability score, fair to a finite ensemble (Ferro, 2014).

    CRPS = mean over i of |x_i - y| - Σ over i < j of |x_i - x_j| / (S (S - 1)): on average that
    of infinitely many samples from the same distribution. It may be negative for one truth.

    Args:
        samples: Shape (S, ...), S at least 2.
        truth: Shape (...).

    Example:
        Samples 0 and 2 of a truth of 1 score 1 - 2 / 2 = 0.
    """
    count = len(samples)
    if count < 2:
        raise ValueError(f"CRPS needs at least 2 samples, not {count}")
    ordered = np.sort(samples.astype(np.float64), axis=0)
    rank = 2 * np.arange(count) - count + 1
    apart = np.tensordot(rank, ordered, axes=1)  # Σ over i < j of x_j - x_i, once sorted
    error = np.abs(ordered - truth).mean(axis=0)
    return np.asarray(error - apart / (count * (count - 1)))


class EnsembleSums:
    """Sums of an ensemble's scores, chunk of windows by chunk, since samples are many.

    Args:
        labels: The V variables.
        area_Y: Each latitude's area.
    """

    def __init__(self, labels: tuple[str, ...], area_Y: Floats):
        self._labels, self._area_Y = labels, area_Y
        self._chunks: list[NDArray[np.float64]] = []

    def update(self, samples_SWVXY: Floats, truth_WVXY: Floats) -> None:
        """Add windows; NaN in the truth is not scored."""
        samples = samples_SWVXY.astype(np.float64)
        present = np.isfinite(truth_WVXY)
        truth = np.where(present, truth_WVXY, 0.0)
        count = len(samples)
        parts = (
            fair_crps(samples, truth),
            samples.var(axis=0, ddof=1) * (count + 1) / count,
            (samples.mean(axis=0) - truth) ** 2,
            np.ones_like(truth),
        )
        weights = present * self._area_Y
        self._chunks.append(np.stack([(part * weights).sum(axis=(2, 3)) for part in parts]))

    def sums(self, windows: Cases) -> Iterator[CaseSums]:
        """Yield CRPS and spread-skill ratio of each variable.

        The ratio is sqrt of (S + 1) / S times the mean variance of the samples, over the RMSE of
        their mean (Fortin et al., 2014): 1 for a reliable ensemble of any size.
        """
        crps, variance, squared, covered = np.concatenate(self._chunks, axis=1)
        for channel, label in enumerate(self._labels):
            units = variables.parse(label).definition.units
            at = (slice(None), channel)
            yield windows.sums("crps", "mean", crps[at], covered[at], units=units, variable=label)
            ratio = (variance[at], squared[at])
            yield windows.sums("spread-skill ratio", "root mean", *ratio, variable=label)
