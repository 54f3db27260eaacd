"""Scores taken apart by window: the sums that make a score, so that windows can be drawn again.

Legend: P sums, W windows, R draws, V variables, X × Y grid.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from sparta_ray.base import variables
from sparta_ray.base.grids import area_weights
from sparta_ray.metrics.records import Score, Subject
from sparta_ray.metrics.scores import acc_by_window, ssim_by_image

Floats = NDArray[np.floating[Any]]

Form = Literal["mean", "root mean", "relative root mean", "decibel", "standard deviation"]
"""How a score follows from its sums; see `combine`."""


@dataclass(frozen=True)
class CaseSums:
    """A score and, for every window, the sums it is made of.

    Attributes:
        score: The score over all windows.
        form: How it follows from the sums.
        days: The day each window is for, counted from 1970, shape (W,).
        sums: Shape (P, W).
    """

    score: Score
    form: Form
    days: NDArray[np.float64]
    sums: NDArray[np.float64]


def on_common_windows(*sides: Sequence[CaseSums]) -> list[list[CaseSums]]:
    """Return every side's scores on the windows that all of them have, maybe none."""
    days = reduce(np.intersect1d, (found.days for side in sides for found in side))
    return [[_of_days(found, days) for found in side] for side in sides]


def _of_days(found: CaseSums, days: NDArray[np.float64]) -> CaseSums:
    sums = found.sums[:, np.isin(found.days, days)]
    value = float(combine(found.form, sums.sum(axis=1))) if len(days) else found.score.value
    return CaseSums(replace(found.score, value=value), found.form, days, sums)


def combine(form: Form, sums: Floats) -> NDArray[np.float64]:
    """Return the score of sums over windows, shape (..., P) to (...).

    ``mean`` is s0 / s1, ``root mean`` its square root, ``decibel`` -10 log10 of it;
    ``relative root mean`` is 100 sqrt(s0 / s2) / (s1 / s2), the RRMSE in %, and
    ``standard deviation`` sqrt(s0 / s2 - (s1 / s2)²), of Σ x², Σ x and the count.

    Example:
        Squared errors 1 and 1 of truths 1 and 3 are the sums (2, 4, 2): 100 · 1 / 2 = 50 %.
    """
    s = np.moveaxis(np.asarray(sums, dtype=np.float64), -1, 0)
    match form:
        case "mean":
            found = s[0] / s[1]
        case "root mean":
            found = np.sqrt(s[0] / s[1])
        case "decibel":
            found = -10 * np.log10(s[0] / s[1])
        case "relative root mean":
            found = 100 * np.sqrt(s[0] / s[2]) / (s[1] / s[2])
        case "standard deviation":
            found = np.sqrt(np.maximum(s[0] / s[2] - (s[1] / s[2]) ** 2, 0))
    return np.asarray(found)


@dataclass(frozen=True)
class Cases:
    """Whose windows are scored: adds what a score is called to the sums.

    Attributes:
        subject: Whose fields or embeddings.
        days: The day each window is for, counted from 1970, shape (W,).
        lead_days: Days ahead, for a forecast.
    """

    subject: Subject
    days: NDArray[np.float64]
    lead_days: int | None = None

    def sums(
        self, metric: str, form: Form, *parts: Floats, units: str = "", variable: str | None = None
    ) -> CaseSums:
        """Return one score with its sums, each of shape (W,)."""
        sums = np.stack([np.asarray(part, dtype=np.float64) for part in parts])
        value = float(combine(form, sums.sum(axis=1)))
        score = self.subject.score(metric, value, units, self.lead_days, variable)
        return CaseSums(score, form, self.days, sums)

    def mean(self, metric: str, values: Floats, units: str = "") -> CaseSums:
        """Return the mean of one value a window."""
        return self.sums(metric, "mean", values, np.ones(len(values)), units=units)


def field_sums(
    windows: Cases,
    fields: xr.DataArray,
    truth: xr.DataArray,
    limits: tuple[xr.DataArray, xr.DataArray],
    climatology: xr.DataArray | None = None,
) -> Iterator[CaseSums]:
    """Compare physical fields with the truth, window by window.

    Args:
        windows: Whose fields, and of which days.
        fields: Dims (window, variable, longitude, latitude).
        truth: Likewise; NaN is a missing observation, beside which nothing is scored.
        limits: Least and greatest value of each variable, to scale images by.
        climatology: Of the same days, for ACC; None leaves ACC out.

    Yields:
        RRMSE of all variables, plain and weighted by area; RMSE, bias and ACC of each variable;
        SSIM and PSNR.
    """
    o = truth.values.astype(np.float64)
    present = np.isfinite(o)
    error = np.where(present, fields.values - o, 0.0)
    o = np.where(present, o, 0.0)
    area_Y = area_weights(truth["latitude"].values.astype(np.float64))
    for metric, weight in (("rrmse", present), ("area-weighted rrmse", present * area_Y)):
        parts = [(part * weight).sum(axis=(1, 2, 3)) for part in (error**2, o, 1.0)]
        yield windows.sums(metric, "relative root mean", *parts, units="%")
    yield from _variable_sums(windows, truth, error, present * area_Y)
    if climatology is not None:
        yield from _anomaly_sums(windows, fields, truth, climatology)
    yield windows.mean("ssim", ssim_by_image(fields, truth, *limits))
    span = (limits[1] - limits[0]).values[:, None, None]
    squared = ((error / span) ** 2).sum(axis=(1, 2, 3))
    if squared.any():
        yield windows.sums("psnr", "decibel", squared, present.sum(axis=(1, 2, 3)), units="dB")


def _variable_sums(
    windows: Cases, truth: xr.DataArray, error: Floats, area_WVXY: Floats
) -> Iterator[CaseSums]:
    covered_WV = area_WVXY.sum(axis=(2, 3))
    forms: tuple[tuple[str, Form, Floats], ...] = (
        ("rmse", "root mean", error**2),
        ("bias", "mean", error),
    )
    for metric, form, part in forms:
        part_WV = (part * area_WVXY).sum(axis=(2, 3))
        for channel, label in enumerate(map(str, truth["variable"].values)):
            units = variables.parse(label).definition.units
            sums = (part_WV[:, channel], covered_WV[:, channel])
            yield windows.sums(metric, form, *sums, units=units, variable=label)


def _anomaly_sums(
    windows: Cases, fields: xr.DataArray, truth: xr.DataArray, climatology: xr.DataArray
) -> Iterator[CaseSums]:
    by_window = acc_by_window(fields, truth, climatology)
    for label in map(str, truth["variable"].values):
        values = by_window.sel(variable=label).values
        known = np.isfinite(values)
        sums = (np.where(known, values, 0.0), known)
        yield windows.sums("acc", "mean", *sums, variable=label)
