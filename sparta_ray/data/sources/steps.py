"""Steps: which samples make up each, whether they are all there, and their means."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparta_ray.base.durations import span
from sparta_ray.base.errors import ConfigError

HOUR = np.timedelta64(1, "h")


@dataclass(frozen=True)
class Steps:
    """The steps that a source's samples make.

    Attributes:
        starts: When each begins, consecutive; in days if steps are whole days, else hours.
        step_of_sample: Which step each sample belongs to, ascending.
        samples_per_step: How many samples a whole step has.
        spacing: From one sample to the next.
    """

    starts: NDArray[np.datetime64]
    step_of_sample: NDArray[np.intp]
    samples_per_step: int
    spacing: np.timedelta64


def lay_steps(times: NDArray[np.datetime64], length: np.timedelta64, average: bool) -> Steps:
    """Lay steps over ascending times, from the beginning of the first one's day.

    Args:
        times: When the samples are, shape (S,).
        length: Of a step.
        average: Accept steps with other than the usual number of samples.

    Raises:
        ConfigError: Names the steps that are missing or have not all their samples.
    """
    spacing = _spacing(times, length)
    expected = int(length // spacing)
    first = times[0].astype("datetime64[D]").astype("datetime64[h]")
    step_of_sample = ((times - first) // length).astype(np.intp)
    starts = first + np.arange(step_of_sample[-1] + 1) * length
    if length % np.timedelta64(1, "D") == 0:
        starts = starts.astype("datetime64[D]")
    counts = np.bincount(step_of_sample)
    what = "days" if length == 24 * HOUR else "steps"
    if (counts == 0).any():
        lost = starts[counts == 0]
        raise ConfigError(f"the source lacks {len(lost)} {what}: {some(lost)}")
    odd = starts[counts != expected]
    if len(odd) and not average:
        range_end = f"data.last_day{_last_whole(starts, odd)}"
        raise ConfigError(
            f"{len(odd)} {what} do not have {expected} samples each: {some(odd)}; leave them out "
            f"with data.first_day and {range_end}, or take the mean of what is there with "
            "data.incomplete_steps=average"
        )
    return Steps(starts, step_of_sample, expected, spacing)


def _spacing(times: NDArray[np.datetime64], length: np.timedelta64) -> np.timedelta64:
    """Return the usual time between samples, and check that steps can be made of it."""
    if len(times) == 1:
        return length
    gaps, counts = np.unique(np.diff(times), return_counts=True)
    spacing: np.timedelta64 = gaps[np.argmax(counts)]
    if spacing > length:
        raise ConfigError(
            f"the source's samples are {span(spacing)} apart, further than data.step "
            f"{span(length)}: set data.step to that or more"
        )
    if length % spacing:
        raise ConfigError(
            f"the source's samples are {span(spacing)} apart, which does not divide data.step "
            f"{span(length)}"
        )
    return spacing


def _last_whole(starts: NDArray[np.datetime64], odd: NDArray[np.datetime64]) -> str:
    """Say which last day leaves out the last step where that alone is not whole."""
    if len(odd) > 1 or odd[0] != starts[-1] or len(starts) == 1:
        return ""
    day = (starts[-1] - np.timedelta64(1, "h")).astype("datetime64[D]")
    return f"={day}"


def some(starts: NDArray[np.datetime64]) -> str:
    """List the first few."""
    return ", ".join(str(start) for start in starts[:5]) + (" …" if len(starts) > 5 else "")


class StepMeans:
    """Means of samples over steps, added up sample by sample in float64.

    Samples are added in the order of time, so how they were cut into blocks for reading does not
    change a bit of the result.

    Args:
        shape: Steps, then the shape of a sample.
        skip_missing: Take the mean of the samples that are not NaN, instead of NaN.
    """

    def __init__(self, shape: tuple[int, ...], skip_missing: bool):
        self._total = np.zeros(shape)
        self._count = np.zeros(shape if skip_missing else shape[:1], dtype=np.int32)
        self._skip_missing = skip_missing

    def add(self, step_S: NDArray[np.intp], values: NDArray[np.floating]) -> None:
        """Add samples, (S, …), each to its step."""
        for step, value in zip(step_S, values, strict=True):
            if self._skip_missing:
                there = ~np.isnan(value)
                self._count[step] += there
                value = np.where(there, value, 0)
            else:
                self._count[step] += 1
            self._total[step] += value

    def result(self) -> NDArray[np.float32]:
        """Return the means; NaN where nothing is there."""
        count = self._count.reshape(
            self._count.shape + (1,) * (self._total.ndim - self._count.ndim)
        )
        with np.errstate(invalid="ignore"):
            return (self._total / count).astype(np.float32)
