"""Reading samples: in whole chunks, each once, a bounded number at a time.

Shapes: S samples, C channels of one array, X longitudes, Y latitudes, of the source or regridded.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from sparta_ray.base.errors import ReadError
from sparta_ray.data.regrid import ConservativeRegridder
from sparta_ray.data.retry import retried
from sparta_ray.data.sources.mapping import Channel

REMOTE_BYTES, LOCAL_BYTES = 256 * 2**20, 16 * 2**20
"""What one read returns at most, unless a single chunk is more."""

IN_FLIGHT_BYTES = 512 * 2**20
"""How much of decoded chunks is held at once, unless a single chunk is more."""

REMOTE_REQUESTS, LOCAL_REQUESTS = 64, 10
"""Chunks asked for at once: many where each takes its time to come."""


def blocks(channels: Sequence[Channel], start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Cut the samples ``start … stop - 1`` of an array where its chunks end.

    Args:
        channels: Of one array.
        start: First sample.
        stop: The one after the last.
    """
    length = time_chunk(channels[0])
    axes = channels[0].file.axes
    sample_bytes = len(channels) * len(axes.longitudes) * len(axes.latitudes) * 4
    most = REMOTE_BYTES if channels[0].file.opened.remote else LOCAL_BYTES
    length *= max(1, most // sample_bytes // length)
    while start < stop:
        end = min(stop, (start // length + 1) * length)
        yield start, end
        start = end


def read_samples(
    channels: Sequence[Channel],
    start: int,
    stop: int,
    regridder: ConservativeRegridder | None = None,
) -> NDArray[np.floating]:
    """Return samples of channels that lie in one array, in our units and order, (S, C, X, Y).

    Values keep the type they are stored in unless their units are converted, in float64.

    Args:
        channels: Of one array.
        start: First sample.
        stop: The one after the last.
        regridder: Brings samples as they are stored to another grid; None leaves them on theirs.

    Raises:
        ReadError: Names the channels, the dates and the cause.
    """
    array, axes = channels[0].array, channels[0].file.axes
    opened, level = channels[0].file.opened, channels[0].level
    indices = [channel.level_index for channel in channels]
    if axes.time is not None:
        array = array.isel({axes.time: slice(start, stop)})
    if level is not None:
        array = array.isel({level: indices})
    labels = ", ".join(channel.variable.label for channel in channels)
    what = f"{labels} from {axes.times[start]} to {axes.times[stop - 1]}"
    with zarr.config.set({"async.concurrency": _requests(channels[0])}):
        try:
            values = retried(lambda: _load(array), opened.retry, opened.origin, damaged=True)
        except (ReadError, FileNotFoundError) as error:
            raise ReadError(f"{what}: {error}") from error
    # Only now: of a lazy array, a transpose would be read point by point.
    order = (axes.time, level, axes.longitude, axes.latitude)
    values = values.transpose([array.dims.index(name) for name in order if name is not None])
    grid = len(axes.longitudes), len(axes.latitudes)
    values = values.reshape(stop - start, len(channels), *grid)
    values = axes.arrange(values) if regridder is None else regridder(values)
    return _convert(channels, values)


def time_chunk(channel: Channel) -> int:
    """Return how many samples can only be read together."""
    axes = channel.file.axes
    return 1 if axes.time is None else channel.chunk(axes.time)


def bytes_touched(channels: Sequence[Channel], start: int, stop: int) -> int:
    """Return the uncompressed bytes of the chunks that hold the samples ``start … stop - 1``.

    Args:
        channels: Of one array.
        start: First sample.
        stop: The one after the last.
    """
    array, time, level = channels[0].array, channels[0].file.axes.time, channels[0].level
    values = 1
    for dimension, size in array.sizes.items():
        chunk = channels[0].chunk(str(dimension))
        if dimension == time:
            touched = math.ceil(stop / chunk) - start // chunk
        elif dimension == level:
            touched = len({channel.level_index // chunk for channel in channels})
        else:
            touched = math.ceil(size / chunk)
        values *= touched * chunk
    return values * _item_bytes(array)


def _load(array: xr.DataArray) -> NDArray[np.floating]:
    values: NDArray[np.floating] = array.values
    return values


def _requests(channel: Channel) -> int:
    """Return how many chunks to ask for at once, so that they stay within bounds when decoded."""
    array = channel.array
    chunk_bytes = math.prod(channel.chunk(str(name)) for name in array.dims) * _item_bytes(array)
    most = REMOTE_REQUESTS if channel.file.opened.remote else LOCAL_REQUESTS
    return max(1, min(most, IN_FLIGHT_BYTES // chunk_bytes))


def _item_bytes(array: xr.DataArray) -> int:
    return int(np.dtype(array.encoding.get("dtype", array.dtype)).itemsize)


def _convert(channels: Sequence[Channel], values: NDArray[np.floating]) -> NDArray[np.floating]:
    scale, offset = channels[0].conversion
    return values if (scale, offset) == (1, 0) else values.astype(np.float64) * scale + offset
