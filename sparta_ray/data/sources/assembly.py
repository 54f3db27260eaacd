"""Opening a source: its files checked against each other and laid end to end, none of them read."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sparta_ray.base.durations import step_length
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.variables import Variable
from sparta_ray.data.sources.kind import SourceKind
from sparta_ray.data.sources.mapping import File, find_name, map_channel
from sparta_ray.data.sources.source import IncompleteSteps, Part, Source
from sparta_ray.data.sources.steps import lay_steps

DAY = np.timedelta64(1, "D")


def open_source(
    config: SourceKind,
    variables: tuple[Variable, ...],
    first_day: str | None = None,
    last_day: str | None = None,
    step: str = "1d",
    incomplete_steps: IncompleteSteps = "error",
) -> Source:
    """Open a source and check names, units, levels, grid and times; reads coordinates only.

    Args:
        config: Where it is.
        variables: The channels wanted, in order.
        first_day: First day to take; None for the source's first.
        last_day: Last day to take; None for the source's last.
        step: Length of a step, such as ``6h``, ``1d`` or ``5d``.
        incomplete_steps: What to do with a step that lacks some of its samples.

    Raises:
        ConfigError: Says what is missing or unfit, and what would help.
        ReadError: The source cannot be reached.
    """
    names = config.own_names
    files = [File.of(opened) for opened in config.open()]
    groups = _groups(files)
    _check_quantities(groups, variables, names)
    parts = [_part(group, variables, names) for group in groups]
    parts.sort(key=lambda part: part.times[0])
    _check_grids(parts)
    _check_order(np.concatenate([part.times for part in parts]))
    whole = parts[0].times[0], parts[-1].times[-1]
    parts = [_cut(part, first_day, last_day) for part in parts]
    parts = [part for part in parts if part.start < part.stop]
    if not parts:
        first, last = (str(time.astype("datetime64[D]")) for time in whole)
        raise ConfigError(
            f"no sample lies between data.first_day {first_day} and data.last_day {last_day}; "
            f"the source has {first} to {last}"
        )
    times = np.concatenate([part.times[part.start : part.stop] for part in parts])
    steps = lay_steps(times, step_length(step), incomplete_steps == "average")
    return Source(tuple(parts), steps, variables, incomplete_steps)


def _groups(files: Sequence[File]) -> list[list[File]]:
    """Return the files by their times: those of the same times hold different variables."""
    groups: dict[bytes, list[File]] = {}
    for file in files:
        groups.setdefault(file.axes.times.tobytes(), []).append(file)
    return list(groups.values())


def _check_quantities(
    groups: Sequence[Sequence[File]], variables: tuple[Variable, ...], names: Mapping[str, str]
) -> None:
    """Refuse files of some times that lack quantities which those of other times have."""
    if len(groups) < 2:
        return
    held = [
        {
            variable.definition.name: file
            for variable in variables
            for file in group
            if _holds(file, variable, names)
        }
        for group in groups
    ]
    anywhere = {name: file for there in reversed(held) for name, file in there.items()}
    for group, there in zip(groups, held, strict=True):
        lacking: dict[str, list[str]] = {}
        for name in anywhere.keys() - there.keys():
            lacking.setdefault(str(anywhere[name]), []).append(repr(name))
        if lacking:
            elsewhere = [f"{', '.join(sorted(of))} in {file}" for file, of in lacking.items()]
            raise ConfigError(
                f"{'; '.join(sorted(elsewhere))}; but not in {group[0]}: files of different "
                "variables must hold the same times, and files of different times all variables"
            )


def _holds(file: File, variable: Variable, names: Mapping[str, str]) -> bool:
    try:
        return find_name(file.opened.dataset, variable.definition, names) is not None
    except ConfigError:  # several arrays may be meant, of which the user is told to choose one
        return True


def _part(files: Sequence[File], variables: tuple[Variable, ...], names: Mapping[str, str]) -> Part:
    """Map all variables in the files of the same times; one error names all that do not fit."""
    channels, misfits = [], []
    for variable in variables:
        try:
            channels.append(map_channel(files, variable, names))
        except ConfigError as error:
            misfits.append(str(error))
    if misfits:
        problems = list(dict.fromkeys(misfits))
        heading = "the source does not fit:\n  " if len(problems) > 1 else ""
        raise ConfigError(heading + "\n  ".join(problems))
    times = files[0].axes.times
    return Part(tuple(channels), times, 0, len(times))


def _cut(part: Part, first_day: str | None, last_day: str | None) -> Part:
    """Return the part with the samples that are wanted, and that its file calls valid.

    ARCO-ERA5 has room for the years 1900 to 2050, and says which of them are filled.
    """
    said = part.channels[0].file.opened.dataset.attrs
    first = _days(said.get("valid_time_start"), first_day, part.times[0])
    last = _days(said.get("valid_time_stop"), last_day, part.times[-1])
    start, stop = np.searchsorted(part.times, [first.max(), last.min() + DAY])
    return Part(part.channels, part.times, int(start), int(stop))


def _days(*times: str | np.datetime64 | None) -> NDArray[np.datetime64]:
    """Return the days of those times that are given."""
    return np.array([str(time)[:10] for time in times if time is not None], "datetime64[D]")


def _check_grids(parts: Sequence[Part]) -> None:
    """Check that all channels of all parts share one grid."""
    axes = [channel.file.axes for part in parts for channel in part.channels]
    for name in ("latitudes", "longitudes"):
        first = getattr(axes[0], name)
        if not all(np.array_equal(getattr(other, name), first) for other in axes):
            raise ConfigError(f"the source's files do not share their {name}; regrid them first")


def _check_order(times: NDArray[np.datetime64]) -> None:
    late = times[1:][np.diff(times) <= np.timedelta64(0)]
    if len(late):
        raise ConfigError(f"the source's times must ascend without repeats; see {late[0]}")
