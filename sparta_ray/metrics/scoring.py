"""Fields and ensembles scored by every metric that applies to them, case by case.

Legend: P sums, S samples, W cases, V variables, X × Y grid.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from sparta_ray.metrics.case_sums import Cases, CaseSums
from sparta_ray.metrics.ensembles import ENSEMBLE_METRICS
from sparta_ray.metrics.field_comparison import FieldComparison, FieldMetric
from sparta_ray.metrics.fields import FIELD_METRICS
from sparta_ray.metrics.metric import UndefinedError
from sparta_ray.metrics.records import Absent, Score, Subject

Floats = NDArray[np.floating[Any]]


def field_sums(
    cases: Cases,
    fields: xr.DataArray,
    truth: xr.DataArray,
    limits: tuple[xr.DataArray, xr.DataArray] | None = None,
    climatology: xr.DataArray | None = None,
    std: NDArray[np.float64] | None = None,
    metrics: Iterable[FieldMetric] = FIELD_METRICS,
) -> Iterator[CaseSums | Absent]:
    """Compare physical fields with the truth, case by case.

    Args:
        cases: Whose fields, and of which days.
        fields: Dims (window, variable, longitude, latitude).
        truth: Likewise; NaN is a missing observation, beside which nothing is scored.
        limits: Least and greatest value of each variable, to scale images by.
        climatology: Of the same days, for scores of anomalies.
        std: Standard deviation of each variable, for standardised errors.
        metrics: Those to compute; one that needs what is not given is left out.

    Returns:
        The score of each metric, of all variables or of each, or why there is none.
    """
    sums = FieldSums(metrics)
    sums.update(fields, truth, limits, climatology, std)
    return sums.sums(cases)


class FieldSums:
    """Sums of the scores of fields, collected a few cases at a time.

    Args:
        metrics: Those to compute; one that needs what is not given is left out.
    """

    def __init__(self, metrics: Iterable[FieldMetric] = FIELD_METRICS):
        self._metrics, self._labels = tuple(metrics), list[str]()
        self._chunks: dict[FieldMetric, list[NDArray[np.float64]]] = {}
        self._undefined: dict[FieldMetric, str] = {}

    def update(
        self,
        fields: xr.DataArray,
        truth: xr.DataArray,
        limits: tuple[xr.DataArray, xr.DataArray] | None = None,
        climatology: xr.DataArray | None = None,
        std: NDArray[np.float64] | None = None,
    ) -> None:
        """Add cases; the arguments are those of `field_sums`."""
        comparison = FieldComparison(fields, truth, limits, climatology, std)
        self._labels = comparison.variables
        for metric in self._metrics:
            if metric in self._undefined or not comparison.has(metric.needs):
                continue
            try:
                sums = metric.statistics(comparison)
            except UndefinedError as error:
                self._undefined[metric] = str(error)
            else:
                self._chunks.setdefault(metric, []).append(sums)

    def sums(self, cases: Cases) -> Iterator[CaseSums | Absent]:
        """Yield the score of each metric, of all variables or of each, or why there is none.

        Args:
            cases: All cases that were added, in that order.
        """
        for metric in self._metrics:
            if metric in self._undefined:
                yield cases.absent(metric, self._undefined[metric])
            elif metric in self._chunks:
                sums = np.concatenate(self._chunks[metric], axis=1)
                if not metric.of_each_variable:
                    yield cases.score(metric, sums)
                    continue
                for channel, label in enumerate(self._labels):
                    yield cases.score(metric, sums[..., channel], label)

    def scores(self, subject: Subject, lead_days: int | None = None) -> Iterator[Score | Absent]:
        """Yield the scores alone, without the sums of each case.

        Args:
            subject: Whose fields were added.
            lead_days: Days ahead, for a forecast.
        """
        added = next((sum(c.shape[1] for c in chunks) for chunks in self._chunks.values()), 0)
        cases = Cases(subject, np.arange(added, dtype=np.float64), lead_days)
        for found in self.sums(cases):
            yield found.score if isinstance(found, CaseSums) else found


CURVE_METRICS: tuple[FieldMetric, ...] = tuple(m for m in FIELD_METRICS if m.at_every_lead)
"""The metrics that are computed at every lead; the others only at those of tables."""


def field_scores(
    subject: Subject, fields: xr.DataArray, truth: xr.DataArray, lead_days: int | None = None
) -> Iterator[Score | Absent]:
    """Compare physical fields with the truth at a lead that only curves show.

    Args:
        subject: Whose fields.
        fields: Dims (window, variable, longitude, latitude).
        truth: Likewise.
        lead_days: Steps ahead, for a forecast.

    Returns:
        The scores of the metrics that are computed at every lead, without the sums of each case.
    """
    sums = FieldSums(CURVE_METRICS)
    sums.update(fields, truth)
    return sums.scores(subject, lead_days)


class EnsembleSums:
    """Sums of an ensemble's scores, collected a few cases at a time, since samples are many.

    Args:
        labels: The V variables.
        area_Y: Relative area of the grid cells at each latitude.
    """

    def __init__(self, labels: tuple[str, ...], area_Y: Floats):
        self._labels, self._area_Y = labels, area_Y
        self._chunks: list[list[NDArray[np.float64]]] = []

    def update(self, samples_SWVXY: Floats, truth_WVXY: Floats) -> None:
        """Add cases; where the truth is NaN nothing is scored."""
        present = np.isfinite(truth_WVXY)
        truth, area_WVXY = np.where(present, truth_WVXY, 0.0), present * self._area_Y
        self._chunks.append(
            [metric.statistics(samples_SWVXY, truth, area_WVXY) for metric in ENSEMBLE_METRICS]
        )

    def sums(self, cases: Cases) -> Iterator[CaseSums | Absent]:
        """Yield the score of each variable by each metric, or why there is none.

        Args:
            cases: All cases that were added, in that order.
        """
        found = [np.concatenate(chunks, axis=1) for chunks in zip(*self._chunks, strict=True)]
        for channel, label in enumerate(self._labels):
            for metric, sums_PWV in zip(ENSEMBLE_METRICS, found, strict=True):
                yield cases.score(metric, sums_PWV[..., channel], label)
