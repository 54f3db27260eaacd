"""Metrics of physical fields, a class each.

A new metric of fields is a class here and its place in `FIELD_METRICS`. It is then computed for
every reconstruction, forecast and generated sample, and shown with an interval in their tables.

Legend: P sums, W cases, V variables, X × Y grid.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.image import structural_similarity_index_measure

from sparta_ray.metrics.field_comparison import FieldComparison, FieldMetric
from sparta_ray.metrics.metric import (
    Decibel,
    Floats,
    Mean,
    RelativeRootMean,
    RootMean,
    UndefinedError,
    mean_of_cases,
)

IMAGES_AT_ONCE = 256
"""Cases whose SSIM is computed at a time."""

SSIM_WINDOW = 11
"""Points on a side of SSIM's Gaussian window (σ = 1.5)."""


class RRMSE(RelativeRootMean, FieldMetric):
    """Relative root mean squared error, 100 sqrt(mean (f - o)²) / mean o.

    Both means are over all variables, points and cases, in the variables' own units. It has no
    value where the mean of the truth is not above 0.
    """

    key = "rrmse"
    label = "RRMSE"
    better = "lower"
    units = "%"
    meaning = (
        "Root mean squared error over all variables and grid points together, divided by the mean "
        "of the truth; geopotential dominates it."
    )
    at_every_lead = True

    def statistics(self, fields: FieldComparison) -> NDArray[np.float64]:
        """See `FieldMetric.statistics`."""
        return _relative_sums(fields, fields.present)


class AreaWeightedRRMSE(RelativeRootMean, FieldMetric):
    """RRMSE in which both means are weighted by the area of each grid cell."""

    key = "area-weighted rrmse"
    label = "Area-weighted RRMSE"
    better = "lower"
    units = "%"
    meaning = "RRMSE in which a grid point counts by its cell's area, so that poles count little."

    def statistics(self, fields: FieldComparison) -> NDArray[np.float64]:
        """See `FieldMetric.statistics`."""
        return _relative_sums(fields, fields.area)


class RMSE(RootMean, FieldMetric):
    """Area-weighted root mean squared error of each variable, in its units."""

    key = "rmse"
    label = "RMSE"
    better = "lower"
    units = None
    meaning = "Area-weighted root mean squared error."
    of_each_variable = True
    at_every_lead = True

    def statistics(self, fields: FieldComparison) -> NDArray[np.float64]:
        """See `FieldMetric.statistics`."""
        return _area_sums(fields, fields.error**2)


class Bias(Mean, FieldMetric):
    """Area-weighted mean of forecast minus truth of each variable, in its units."""

    key = "bias"
    label = "Bias"
    better = "nearer zero"
    units = None
    meaning = "Area-weighted mean of forecast minus truth."
    of_each_variable = True
    at_every_lead = True

    def statistics(self, fields: FieldComparison) -> NDArray[np.float64]:
        """See `FieldMetric.statistics`."""
        return _area_sums(fields, fields.error)


class ACC(Mean, FieldMetric):
    """Anomaly correlation coefficient of each variable, the mean over cases.

    Uncentred and area-weighted: Σ f' o' / sqrt(Σ f'² Σ o'²), with f' and o' the anomalies of
    forecast and truth from the climatology at the valid time. Cases without any truth do not count.
    """

    key = "acc"
    label = "ACC"
    better = "higher"
    meaning = "Correlation of anomalies from the day-of-year climatology."
    needs = ("climatology",)
    of_each_variable = True

    def statistics(self, fields: FieldComparison) -> NDArray[np.float64]:
        """See `FieldMetric.statistics`."""
        forecast, truth = fields.anomalies
        area, place = fields.area, (2, 3)
        size_WV = np.sqrt((area * forecast**2).sum(place) * (area * truth**2).sum(place))
        acc_WV = (area * forecast * truth).sum(place) / np.where(size_WV == 0, np.nan, size_WV)
        known_WV = fields.present.any(axis=place)
        return np.stack([np.where(known_WV, acc_WV, 0), known_WV])

    def why_undefined(self, sums_P: Floats) -> str:
        """See `CaseMetric.why_undefined`."""
        if np.isnan(sums_P[0]):
            return (
                "there is a case without an anomaly: its forecast or truth equals the climatology, "
                "or the climatology lacks a value"
            )
        return super().why_undefined(sums_P)


class SSIM(Mean, FieldMetric):
    """Structural similarity of min-max scaled fields, with variables as channels.

    Missing points are alike in both fields.
    """

    key = "ssim"
    label = "SSIM"
    better = "higher"
    meaning = "Structural similarity of the scaled fields, at most 1."
    needs = ("limits",)

    def statistics(self, fields: FieldComparison) -> NDArray[np.float64]:
        """See `FieldMetric.statistics`."""
        grid = fields.true_values.shape[2:]
        if min(grid) < SSIM_WINDOW:
            raise UndefinedError(
                f"a grid of {grid[0]}x{grid[1]} is smaller than its window of {SSIM_WINDOW} points"
            )
        parts = [
            _similarity(fields, slice(start, start + IMAGES_AT_ONCE))
            for start in range(0, len(fields.true_values), IMAGES_AT_ONCE)
        ]
        return mean_of_cases(np.concatenate(parts))


class PSNR(Mean, FieldMetric):
    """Peak signal-to-noise ratio of min-max scaled fields, the mean over cases.

    A case's ratio is -10 log10 mean (f - o)², the mean over all variables and points. Cases without
    any truth do not count.
    """

    key = "psnr"
    label = "PSNR"
    better = "higher"
    units = "dB"
    meaning = "Peak signal-to-noise ratio of each day's scaled fields, the mean over days."
    needs = ("limits",)

    def statistics(self, fields: FieldComparison) -> NDArray[np.float64]:
        """See `FieldMetric.statistics`."""
        squares_W, count_W = _scaled_sums(fields)
        known_W = count_W > 0
        mean_W = np.where(known_W, squares_W, 1) / np.maximum(count_W, 1)
        ratio_W = -10 * np.log10(np.where(mean_W > 0, mean_W, np.nan))
        return np.stack([np.where(known_W, ratio_W, 0), known_W])

    def why_undefined(self, sums_P: Floats) -> str:
        """See `CaseMetric.why_undefined`."""
        if np.isnan(sums_P[0]):
            return "there is a case whose fields equal the truth, so its ratio is infinite"
        return super().why_undefined(sums_P)


class PooledPSNR(Decibel, FieldMetric):
    """Peak signal-to-noise ratio of min-max scaled fields, -10 log10 mean (f - o)² over all cases.

    At most the mean of the cases' own ratios.
    """

    key = "pooled psnr"
    label = "Pooled PSNR"
    better = "higher"
    units = "dB"
    meaning = "Peak signal-to-noise ratio of the scaled fields of all days together."
    needs = ("limits",)

    def statistics(self, fields: FieldComparison) -> NDArray[np.float64]:
        """See `FieldMetric.statistics`."""
        return _scaled_sums(fields)


class StandardisedError(Mean, FieldMetric):
    """Mean squared error of standardised fields, summed over variables (Eq. 17).

    Cases of which a variable is missing altogether do not count.
    """

    key = "standardised error"
    label = "Standardised error"
    better = "lower"
    meaning = (
        "Squared error of standardised fields, summed over variables: the reconstruction loss."
    )
    needs = ("std",)

    def statistics(self, fields: FieldComparison) -> NDArray[np.float64]:
        """See `FieldMetric.statistics`."""
        assert fields.std is not None
        place = (2, 3)
        count_WV = fields.present.sum(place)
        error_WV = (fields.error**2).sum(place) / np.maximum(count_WV, 1)
        known_W = count_WV.all(axis=1)
        return np.stack([(error_WV / fields.std**2).sum(axis=1) * known_W, known_W])


FIELD_METRICS: tuple[FieldMetric, ...] = (
    RRMSE(),
    AreaWeightedRRMSE(),
    RMSE(),
    Bias(),
    ACC(),
    SSIM(),
    PSNR(),
    PooledPSNR(),
    StandardisedError(),
)
"""Every metric of fields, in the order in which tables show them."""


def _relative_sums(
    fields: FieldComparison, weight_WVXY: Floats | NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the weighted sums of squared error, of truth, and of weights."""
    parts = (fields.error**2, fields.true_values, np.float64(1))
    return np.stack([(part * weight_WVXY).sum(axis=(1, 2, 3)) for part in parts])


def _area_sums(fields: FieldComparison, values_WVXY: Floats) -> NDArray[np.float64]:
    """Return the area-weighted sum of values of each variable, and the area."""
    place = (2, 3)
    return np.stack([(values_WVXY * fields.area).sum(place), fields.area.sum(place)])


def _scaled_sums(fields: FieldComparison) -> NDArray[np.float64]:
    """Return each case's sum of squared min-max scaled errors, and the count of true values."""
    scaled = fields.error / fields.span[:, None, None]
    everywhere = (1, 2, 3)
    return np.stack([(scaled**2).sum(everywhere), fields.present.sum(everywhere)])


def _similarity(fields: FieldComparison, cases: slice) -> NDArray[np.float64]:
    """Return the structural similarity of some cases, shape (W,)."""
    assert fields.limits is not None
    span_V11 = fields.span[:, None, None]
    least_V11 = fields.limits[0].values[:, None, None]
    present, truth = fields.present[cases], fields.true_values[cases]
    forecast = truth + fields.error[cases]
    predicted, true = (
        torch.from_numpy(np.where(present, (side - least_V11) / span_V11, 0).astype(np.float32))
        for side in (forecast, truth)
    )
    found = structural_similarity_index_measure(predicted, true, data_range=1.0, reduction="none")
    assert isinstance(found, torch.Tensor)
    return np.asarray(found.double().numpy())
