"""Values that no weather has: of chunks that were never written, fill values, wrong units."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sparta_ray.base.errors import ReadError
from sparta_ray.base.variables import PLAUSIBLE, Variable


def check_plausible(
    variables: Sequence[Variable],
    times: NDArray[np.datetime64],
    values_SCXY: NDArray[np.floating],
) -> None:
    """Refuse samples with impossible values, or with one value everywhere; NaN is no value.

    Args:
        variables: Of the C channels.
        times: Of the S samples.
        values_SCXY: In our units, on any grid.

    Raises:
        ReadError: Names the variable, the first such time and the value.
    """
    low_SC = np.fmin.reduce(values_SCXY, axis=(2, 3))
    high_SC = np.fmax.reduce(values_SCXY, axis=(2, 3))
    at = [str(time.astype("datetime64[m]")) for time in times]
    for channel, variable in enumerate(variables):
        low_S, high_S = low_SC[:, channel], high_SC[:, channel]
        units = variable.definition.units
        least, most = PLAUSIBLE[units]
        if len(outside := np.flatnonzero((low_S < least) | (high_S > most))):
            sample = outside[0]
            value = low_S[sample] if low_S[sample] < least else high_S[sample]
            raise ReadError(
                f"{variable.label} has the value {value:g} {units} at {at[sample]}, where "
                f"weather has {least:g} to {most:g}: the source is damaged there, its units are "
                "not what they say, or a fill value is not declared; correct it, or mark such "
                "values as missing (NaN)"
            )
        for sample in np.flatnonzero(low_S == high_S):
            if np.isfinite(values_SCXY[sample, channel]).sum() == 1:
                continue
            raise ReadError(
                f"{variable.label} is {low_S[sample]:g} {units} at every point at "
                f"{at[sample]}: the source is damaged there, or has no such data; leave those days "
                "out (data.first_day, data.last_day), or the variable (data.variables)"
            )
