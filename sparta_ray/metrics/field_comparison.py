"""Physical fields beside the truth, and what every metric of them is.

Legend: P sums, W cases, V variables, X × Y grid.
"""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from sparta_ray.base.grids import area_weights
from sparta_ray.metrics.metric import CaseMetric, UndefinedError

Floats = NDArray[np.floating[Any]]

DIMS = ("window", "variable", "longitude", "latitude")


@dataclass(frozen=True, eq=False)
class FieldComparison:
    """Fields and the truth that they are compared with.

    NaN in the truth is a missing observation, beside which nothing is scored.

    Attributes:
        fields: In physical units, with the dimensions `DIMS`.
        truth: Likewise.
        limits: Least and greatest value of each variable, which images are scaled by.
        climatology: Of the same days as the fields, for scores of anomalies.
        std: Standard deviation of each variable, which standardised errors are divided by.

    Raises:
        ValueError: The grids or variables differ, or another value than a missing observation is
            not finite.
    """

    fields: xr.DataArray
    truth: xr.DataArray
    limits: tuple[xr.DataArray, xr.DataArray] | None = None
    climatology: xr.DataArray | None = None
    std: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        given = [self.fields, self.truth]
        given += [] if self.climatology is None else [self.climatology]
        xr.align(*given, join="exact", copy=False)
        for limit in self.limits or ():
            xr.align(self.truth, limit, join="exact", copy=False)
        self._check_finite(np.isinf(_values(self.truth)))
        self._check_finite(self.present & ~np.isfinite(_values(self.fields)))

    def has(self, names: Iterable[str]) -> bool:
        """Return whether the optional attributes of these names were given."""
        return all(getattr(self, name) is not None for name in names)

    @property
    def variables(self) -> list[str]:
        """The labels of the V variables."""
        return [str(label) for label in self.truth["variable"].values]

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """Where there is a true value, shape (W, V, X, Y)."""
        return ~np.isnan(_values(self.truth))

    @cached_property
    def true_values(self) -> NDArray[np.float64]:
        """The truth, 0 where it is missing, shape (W, V, X, Y)."""
        return np.where(self.present, _values(self.truth), 0).astype(np.float64)

    @cached_property
    def error(self) -> NDArray[np.float64]:
        """Fields minus truth, 0 where the truth is missing, shape (W, V, X, Y)."""
        fields = np.where(self.present, _values(self.fields), 0)
        return np.asarray(fields - self.true_values)

    @cached_property
    def area(self) -> NDArray[np.float64]:
        """The relative area of each cell, 0 where the truth is missing, shape (W, V, X, Y)."""
        area_Y = area_weights(self.truth["latitude"].values.astype(np.float64))
        return np.asarray(self.present * area_Y)

    @cached_property
    def anomalies(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Fields and truth minus the climatology, 0 where the truth is missing.

        Twice shape (W, V, X, Y).
        """
        assert self.climatology is not None
        truth = np.where(self.present, self.true_values - _values(self.climatology), 0)
        return truth + self.error, truth

    @cached_property
    def span(self) -> NDArray[np.float64]:
        """The range of each variable, greatest minus least value, shape (V,).

        Raises:
            UndefinedError: A variable has no range.
        """
        assert self.limits is not None
        span = (self.limits[1] - self.limits[0]).values.astype(np.float64)
        if not (span > 0).all():
            constant = [label for label, s in zip(self.variables, span, strict=True) if not s > 0]
            raise UndefinedError(
                f"{', '.join(constant)} is constant in the training days, so there is no range to "
                "scale images by"
            )
        return span

    def _check_finite(self, wrong_WVXY: NDArray[np.bool_]) -> None:
        if wrong_WVXY.any():
            bad_V = wrong_WVXY.any(axis=(0, 2, 3))
            names = [self.variables[channel] for channel in np.flatnonzero(bad_V)]
            raise ValueError(
                f"{int(wrong_WVXY.sum())} of {wrong_WVXY.size} values of {', '.join(names)} are "
                "NaN or infinite"
            )


class FieldMetric(CaseMetric):
    """A metric of fields beside the truth.

    Attributes:
        needs: Optional parts of a `FieldComparison` without which it is left out.
        of_each_variable: Whether each variable has a score of its own.
        at_every_lead: Whether it is also computed at forecast leads that only curves show.
    """

    needs: tuple[str, ...] = ()
    of_each_variable: bool = False
    at_every_lead: bool = False

    @abstractmethod
    def statistics(self, fields: FieldComparison) -> NDArray[np.float64]:
        """Return the sums that the score is made of, for each case.

        Returns:
            Shape (P, W), or (P, W, V) with a score of each variable.

        Raises:
            UndefinedError: The metric has no value for these fields.
        """


def _values(fields: xr.DataArray) -> Floats:
    """Return the values with the dimensions in the order of `DIMS`."""
    return np.asarray(fields.transpose(*DIMS).values)
