"""What was found in a source, and how it was understood, in words."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sparta_ray.base.durations import span
from sparta_ray.data.sources.mapping import Channel
from sparta_ray.data.sources.source import Source


def describe_source(source: Source) -> str:
    """Return a few lines: the channels, the grid, the times and how they are stored."""
    return "\n".join(_lines(source))


def _lines(source: Source) -> Iterator[str]:
    parts, first = source.parts, source.parts[0].channels[0]
    more = f" and {len(parts) - 1} more" if len(parts) > 1 else ""
    yield f"source: {first.file.opened.origin}{more}"
    width = max(len(variable.label) for variable in source.variables)
    for channel in parts[0].channels:
        yield f"  {channel.variable.label:<{width}} ← {_describe_channel(channel)}"
    axes = first.file.axes
    yield (
        f"  grid: {len(source.longitude)} longitudes {_format_range(source.longitude)}, "
        f"{len(source.latitude)} latitudes {_format_range(source.latitude)}"
        f"{_describe_order('longitudes', axes.longitude_order)}"
        f"{_describe_order('latitudes', axes.latitude_order)}"
    )
    samples = sum(part.stop - part.start for part in parts)
    times = parts[0].times[parts[0].start], parts[-1].times[parts[-1].stop - 1]
    yield (
        f"  time: {samples} samples, {span(source.steps.spacing)} apart, {_format_hours(*times)}"
        f"{_describe_rounding(source)}"
    )
    each, length = source.samples_per_step, source.samples_per_step * source.steps.spacing
    yield (
        f"  steps: {len(source.days)} of {span(length)}, {source.days[0]} … "
        f"{source.days[-1]}, each {'one sample' if each == 1 else f'the mean of {each} samples'}"
    )
    size = source.bytes_to_read(0, len(source.days))
    yield (
        f"  to read: {size / 1e6:,.0f} MB before compression, {source.read_chunk} steps at a time"
    )


def _describe_channel(channel: Channel) -> str:
    """Say where a channel comes from, such as ``z (time, plev, lat, lon), 850 hPa, m → m2 s-2``."""
    array = channel.array
    said = [f"{channel.name} ({', '.join(map(str, array.dims))})"]
    if channel.level is not None:
        said.append(f"level {channel.level_index + 1} of {array.sizes[channel.level]}")
    ours = channel.variable.definition.units
    scale, offset = channel.conversion
    if (scale, offset) == (1, 0):
        said.append(ours)
    else:
        said.append(f"{channel.units} → {ours} (× {scale:g}{f' + {offset:g}' if offset else ''})")
    chunk = tuple(channel.chunk(str(name)) for name in array.dims)
    said.append(f"chunks {chunk}" if array.encoding.get("preferred_chunks") else "contiguous")
    return ", ".join(said)


def _format_hours(first: np.datetime64, last: np.datetime64) -> str:
    return f"{first.astype('datetime64[h]')} … {last.astype('datetime64[h]')}"


def _describe_rounding(source: Source) -> str:
    """Say by how much times were rounded, where they were."""
    files = [channel.file for part in source.parts for channel in part.channels]
    most = max(file.axes.rounded for file in files) / np.timedelta64(1, "s")
    return f", rounded by up to {most:.3g} s" if most else ""


def _format_range(degrees: NDArray[np.float64]) -> str:
    return f"{degrees[0]:g} … {degrees[-1]:g}"


def _describe_order(name: str, order: NDArray[np.intp]) -> str:
    """Say how the source's order differs, if it does."""
    if (np.diff(order) == 1).all():
        return ""
    return f" ({name} reversed)" if (np.diff(order) == -1).all() else f" ({name} rolled)"
