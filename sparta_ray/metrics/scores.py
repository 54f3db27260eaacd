"""Scores of fields in physical units: RRMSE, SSIM, PSNR, area-weighted RMSE, bias and ACC.

Every function takes xarray arrays with dimensions among (window, sample, variable, longitude,
latitude), of one lead time. Truth may lack dimensions of the forecast, such as ``sample``; shared
coordinates must be equal. NaN in the truth is a missing observation, beside which nothing is
scored; any other value that is not finite is an error.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torchmetrics.functional.image import structural_similarity_index_measure

from sparta_ray.base.grids import area_weights

IMAGES_AT_ONCE = 256


def rrmse(forecast: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Return the relative root mean squared error in %.

    RRMSE = 100 sqrt(mean (f - o)²) / mean o, both means over every dimension.
    The variables are pooled in their own units, so the largest, geopotential, dominates it.

    Example:
        Truth 1 and 3 with forecasts 2 and 4 gives 100 · 1 / 2 = 50 %.
    """
    forecast, truth = _checked(forecast, truth)
    level = truth.mean()
    if level <= 0:
        raise ValueError(
            f"RRMSE divides by the mean of the truth, which is {float(level):.3g}; "
            "give fields in physical units"
        )
    return 100 * ((forecast - truth) ** 2).mean() ** 0.5 / level


def rmse(forecast: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Return the area-weighted root mean squared error per variable, in its units."""
    forecast, truth = _checked(forecast, truth)
    return _area_mean((forecast - truth) ** 2) ** 0.5


def bias(forecast: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Return the area-weighted mean of forecast minus truth per variable."""
    forecast, truth = _checked(forecast, truth)
    return _area_mean(forecast - truth)


def acc(forecast: xr.DataArray, truth: xr.DataArray, climatology: xr.DataArray) -> xr.DataArray:
    """Return the anomaly correlation coefficient per variable, the mean of `acc_by_window`."""
    return _mean_but_variable(acc_by_window(forecast, truth, climatology))


def acc_by_window(
    forecast: xr.DataArray, truth: xr.DataArray, climatology: xr.DataArray
) -> xr.DataArray:
    """Return each window's anomaly correlation coefficient per variable, from -1 to 1.

    Uncentred and area-weighted: ACC = Σ f' o' / sqrt(Σ f'² Σ o'²), with anomalies from
    `climatology` at the valid time. NaN where a window's truth is missing altogether.

    Raises:
        ValueError: A forecast or truth equals the climatology everywhere: it has no anomaly.
    """
    forecast, truth, climatology = _checked(forecast, truth, climatology)
    weights = _area(truth)
    f, o = forecast - climatology, truth - climatology
    place = ["longitude", "latitude"]
    size = ((weights * f**2).sum(place) * (weights * o**2).sum(place)) ** 0.5
    size = size.where(truth.notnull().any(place))
    if bool((size == 0).any()):
        raise ValueError("ACC is undefined where forecast or truth equals the climatology")
    return (weights * f * o).sum(place) / size


def psnr(
    forecast: xr.DataArray, truth: xr.DataArray, minimum: xr.DataArray, maximum: xr.DataArray
) -> xr.DataArray:
    """Return the peak signal-to-noise ratio in dB of min-max scaled fields.

    PSNR = -10 log10 mean (f - o)², over every dimension; infinite if equal.

    Args:
        forecast: Fields in physical units.
        truth: Fields in physical units.
        minimum: Per variable, what is scaled to 0.
        maximum: Per variable, what is scaled to 1.
    """
    forecast, truth = map(_scaler(minimum, maximum), _checked(forecast, truth))
    error = float(((forecast - truth) ** 2).mean())
    return xr.DataArray(-10 * math.log10(error) if error > 0 else math.inf)


def ssim(
    forecast: xr.DataArray, truth: xr.DataArray, minimum: xr.DataArray, maximum: xr.DataArray
) -> xr.DataArray:
    """Return the mean structural similarity of all images; see `ssim_by_image`."""
    return xr.DataArray(ssim_by_image(forecast, truth, minimum, maximum).mean())


def ssim_by_image(
    forecast: xr.DataArray, truth: xr.DataArray, minimum: xr.DataArray, maximum: xr.DataArray
) -> NDArray[np.float64]:
    """Return the structural similarity of min-max scaled fields, variables as channels.

    Gaussian window of 11 x 11 points (σ = 1.5), so a grid must have more than 10 points a side.
    Missing points are alike in both. Arguments as for `psnr`; one value for each image.
    """
    forecast, truth = map(_scaler(minimum, maximum), _checked(forecast, truth))
    f_NVXY, o_NVXY = map(_images, xr.broadcast(forecast.fillna(0), truth.fillna(0)))
    found = []
    for start in range(0, len(f_NVXY), IMAGES_AT_ONCE):
        part = slice(start, start + IMAGES_AT_ONCE)
        f, o = torch.from_numpy(f_NVXY[part]), torch.from_numpy(o_NVXY[part])
        each = structural_similarity_index_measure(f, o, data_range=1.0, reduction="none")
        assert isinstance(each, torch.Tensor)
        found.append(each.double().numpy())
    return np.concatenate(found)


def _checked(
    forecast: xr.DataArray, truth: xr.DataArray, *others: xr.DataArray
) -> tuple[xr.DataArray, ...]:
    """Return fields in float64, all NaN where the truth is, or raise.

    Raises:
        ValueError: Their grids differ, or another value is not finite.
    """
    fields = (forecast, truth, *others)
    xr.align(*fields, join="exact", copy=False)
    present = truth.notnull()
    if bool(present.all()):
        return tuple(map(_finite, fields))
    return tuple(_finite(field.where(present, 0)).where(present) for field in fields)


def _finite(field: xr.DataArray) -> xr.DataArray:
    """Return the field in float64, or raise naming the variables that are not finite."""
    wrong = ~np.isfinite(field.values)
    if wrong.any():
        where = ""
        if "variable" in field.dims:
            bad = np.moveaxis(wrong, field.get_axis_num("variable"), 0).reshape(
                field.sizes["variable"], -1
            )
            where = " of " + ", ".join(map(str, field["variable"].values[bad.any(axis=1)]))
        raise ValueError(f"{int(wrong.sum())} of {wrong.size} values{where} are NaN or infinite")
    return field.astype(np.float64)


def _area(field: xr.DataArray) -> xr.DataArray:
    latitude = field["latitude"]
    return xr.DataArray(area_weights(latitude.values.astype(np.float64)), coords=[latitude])


def _area_mean(field: xr.DataArray) -> xr.DataArray:
    """Average what is present over everything but ``variable``."""
    area = _area(field).where(field.notnull())
    return _mean_but_variable(field * area) / _mean_but_variable(area)


def _mean_but_variable(field: xr.DataArray) -> xr.DataArray:
    return field.mean([dim for dim in field.dims if dim != "variable"])


def _scaler(minimum: xr.DataArray, maximum: xr.DataArray) -> Callable[[xr.DataArray], xr.DataArray]:
    if not bool((maximum > minimum).all()):
        flat = minimum["variable"].values[~(maximum > minimum).values]
        raise ValueError(
            f"no range to scale by: maximum is not above minimum for {', '.join(flat)}"
        )

    def scale(field: xr.DataArray) -> xr.DataArray:
        xr.align(field, minimum, maximum, join="exact", copy=False)
        return (field - minimum) / (maximum - minimum)

    return scale


def _images(field: xr.DataArray) -> NDArray[np.float32]:
    """Return the fields as float32 images, shape (N, V, X, Y)."""
    ordered = field.transpose(..., "variable", "longitude", "latitude")
    return ordered.values.reshape(-1, *ordered.shape[-3:]).astype(np.float32)
