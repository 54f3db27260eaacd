"""A source: gridded data of any layout, seen as consecutive steps of our variables on its grid.

It is opened lazily, and checked before any field is read. Nothing is filled, dropped or guessed:
what does not fit is an error that names it.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sparta_ray.base.variables import Variable
from sparta_ray.data.regrid import ConservativeRegridder
from sparta_ray.data.sources.mapping import Channel
from sparta_ray.data.sources.plausible import check_plausible
from sparta_ray.data.sources.reading import blocks, bytes_touched, read_samples, time_chunk
from sparta_ray.data.sources.steps import StepMeans, Steps

IncompleteSteps = Literal["error", "average"]
"""What is done with a step that lacks some of its samples."""

OnRead = Callable[[int], None]
"""Called after each block of samples with its bytes, uncompressed."""


@dataclass(frozen=True)
class Part:
    """A run of samples in one file, or in several files of the same times.

    Attributes:
        channels: One for each variable, in their order.
        times: When its samples are, shape (S,).
        start: The first sample taken.
        stop: The one after the last taken.
    """

    channels: tuple[Channel, ...]
    times: NDArray[np.datetime64]
    start: int
    stop: int


@dataclass(frozen=True)
class Source:
    """An opened source, with its steps known and complete.

    Attributes:
        parts: What holds the samples, one after another in time.
        steps: The steps that the samples make.
        variables: What each channel is.
        incomplete_steps: Whether a step is the mean of the samples that are there.
    """

    parts: tuple[Part, ...]
    steps: Steps
    variables: tuple[Variable, ...]
    incomplete_steps: IncompleteSteps

    @property
    def days(self) -> NDArray[np.datetime64]:
        """When each step begins, shape (T,)."""
        return self.steps.starts

    @property
    def samples_per_step(self) -> int:
        """Samples that make a whole step's mean."""
        return self.steps.samples_per_step

    @property
    def latitude(self) -> NDArray[np.float64]:
        """Degrees north, ascending."""
        return self.parts[0].channels[0].file.axes.latitudes

    @property
    def longitude(self) -> NDArray[np.float64]:
        """Degrees east, ascending; a region that contains 0° east begins below 0."""
        return self.parts[0].channels[0].file.axes.longitudes

    @property
    def attributes(self) -> dict[str, str]:
        """What the source says of itself, such as its ``title``."""
        said = self.parts[0].channels[0].file.opened.dataset.attrs
        return {str(name): str(value) for name, value in said.items()}

    @property
    def read_chunk(self) -> int:
        """Steps that can only be read together: multiples of it touch each chunk once."""
        chunks = (time_chunk(channels[0]) for channels in self._arrays(self.parts[0]))
        samples = math.lcm(self.samples_per_step, *chunks)
        return min(samples // self.samples_per_step, len(self.days))

    @property
    def chunk_offset(self) -> int:
        """Steps of the first chunk that come before the first step; 0 where no step begins one.

        Step s begins a chunk of all arrays where ``(s + chunk_offset) % read_chunk`` is 0.
        """
        part, each, steps = self.parts[0], self.samples_per_step, self.read_chunk
        chunk = math.lcm(*(time_chunk(channels[0]) for channels in self._arrays(part)))
        begins = (s for s in range(steps) if (part.start + s * each) % chunk == 0)
        return -next(begins, 0) % steps

    @cached_property
    def signature(self) -> str:
        """An identity that changes when the source does, found without reading a field.

        It looks at five places of each variable; what has changed between them alone is not seen.
        """
        return self._signature_now()

    def has_changed(self) -> bool:
        """Return whether files have changed since the signature was taken; opens none of them.

        Files that have come since are not seen: opening the source again finds them.
        """
        return self._signature_now() != self.signature

    def _signature_now(self) -> str:
        facts = [repr((self.longitude.tolist(), self.latitude.tolist(), str(self.days[[0, -1]])))]
        for part in self.parts:
            facts.append(hashlib.blake2b(part.times[part.start : part.stop].tobytes()).hexdigest())
            for channel in part.channels:
                places = np.linspace(part.start, part.stop - 1, 5).round().astype(int)
                facts += [channel.facts, *channel.stamps(*places.tolist())]
        return hashlib.blake2b("\x1f".join(facts).encode(), digest_size=16).hexdigest()

    def read_steps(
        self,
        start: int,
        stop: int,
        regridder: ConservativeRegridder | None = None,
        on_read: OnRead | None = None,
    ) -> NDArray[np.float32]:
        """Return the means of the steps ``start … stop - 1``, shape (steps, V, X, Y).

        A value is NaN where one of its samples is; with ``incomplete_steps`` "average", where all
        are.

        Args:
            start: First step.
            stop: The one after the last.
            regridder: Brings every sample to another grid before the mean is taken, which is the
                same in another order, and cheaper; only for samples without gaps.
            on_read: Told what was read, as it goes.

        Raises:
            ReadError: Names the variable, the dates and the cause.
        """
        grid = len(self.longitude), len(self.latitude)
        if regridder is not None:
            grid = regridder.target.shape
        fields = np.empty((stop - start, len(self.variables), *grid), dtype=np.float32)
        for places in self._quantities():
            means = StepMeans(
                (stop - start, len(places), *grid), self.incomplete_steps == "average"
            )
            for part, first, last, step_S in self._samples(start, stop):
                channels = [part.channels[place] for place in places]
                stored = regridder and channels[0].file.axes.regridder_of_stored(regridder)
                for begin, end in blocks(channels, first, last):
                    values = read_samples(channels, begin, end, stored)
                    wanted = [self.variables[place] for place in places]
                    check_plausible(wanted, part.times[begin:end], values)
                    means.add(step_S[begin - first : end - first] - start, values)
                    if on_read is not None:
                        on_read(bytes_touched(channels, begin, end))
            fields[:, places] = means.result()
        return fields

    def bytes_to_read(self, start: int, stop: int) -> int:
        """Estimate the uncompressed bytes that reading the steps ``start … stop - 1`` touches."""
        return sum(
            bytes_touched(channels, first, last)
            for part, first, last, _ in self._samples(start, stop)
            for channels in self._arrays(part)
        )

    def _quantities(self) -> list[list[int]]:
        """Return the places of channels that lie in one array: levels of one quantity."""
        places: dict[tuple[tuple[int, str], ...], list[int]] = {}
        for place in range(len(self.variables)):
            channels = [part.channels[place] for part in self.parts]
            arrays = tuple((id(channel.file), channel.name) for channel in channels)
            places.setdefault(arrays, []).append(place)
        return list(places.values())

    def _arrays(self, part: Part) -> list[list[Channel]]:
        return [[part.channels[place] for place in places] for places in self._quantities()]

    def _samples(self, start: int, stop: int) -> Iterator[tuple[Part, int, int, NDArray[np.intp]]]:
        """Yield the samples of some steps: part, first, one after the last, and their steps."""
        wanted = np.searchsorted(self.steps.step_of_sample, (start, stop))
        offset = 0  # of the part's first sample among all that are taken
        for part in self.parts:
            taken = part.stop - part.start
            first, last = np.clip(wanted - offset, 0, taken)
            if first < last:
                step_S = self.steps.step_of_sample[offset + first : offset + last]
                yield part, int(part.start + first), int(part.start + last), step_S
            offset += taken
