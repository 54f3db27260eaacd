"""What a store is made from: which fields, on which grid and steps, and whether the source fits."""

from collections.abc import Iterator
from dataclasses import dataclass as plain_dataclass
from datetime import date
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from sparta_ray import __version__
from sparta_ray.base import variables
from sparta_ray.base.config import STRICT, differences, to_tree
from sparta_ray.base.durations import StepLength, step_length
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.grids import Grid, GridConfig, SourceGrid
from sparta_ray.data.plan.splits import Split, SplitConfig, split_days
from sparta_ray.data.regrid import ConservativeRegridder
from sparta_ray.data.sources import (
    IncompleteSteps,
    OnRead,
    SampleSource,
    Source,
    SourceConfig,
    describe_source,
    open_source,
)
from sparta_ray.data.store.block_cache import CacheConfig
from sparta_ray.data.store.layout import StoreLayout, shard_length
from sparta_ray.data.store.readers import Fields

_INCIDENTAL = (
    "source.retry",
    "source.anonymous",
    "source.options",
)
"""Settings that do not change what a store holds."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DataConfig:
    """Which data, on which grid and steps, and where their prepared store lies.

    Attributes:
        source: Where the fields come from.
        store: Path or fsspec URL of the prepared store.
        variables: Labels of the channels, in order, such as ``geopotential@850``.
        first_day: First day to use, such as ``1979-01-01``; None for the source's first.
        last_day: Last day to use; None for the source's last.
        step: Length of a time step, such as ``6h``, ``1d`` or ``5d``. A step's field is the mean of
            the source's samples within it.
        incomplete_steps: What to do with a step that lacks some of its samples: raise an ``error``,
            or take the ``average`` of those that are there.
        grid: The grid of the store; fields are regridded to it conservatively.
        max_missing: Largest accepted share of missing values (NaN) in any variable of any step.
        split: Shares of the days for training and validation; the rest is for testing.
        mode: With ``prepared``, fields are copied into the store once. With ``stream``, they are
            read from the source whenever they are needed, which suits sources too large to copy.
        cache: What each node keeps of the fields it streams, or reads from a store in a bucket.
        memory_mb: Memory for averaged steps on the source's grid, per task; averaging needs as much
            again. Fields without missing values are regridded one sample at a time and need none of
            it [MiB].
    """

    source: SourceConfig = Field(default_factory=SampleSource)
    store: str = "runs/stores/sample.zarr"
    variables: tuple[str, ...] = variables.PUBLISHED
    first_day: str | None = None
    last_day: str | None = None
    step: str = "1d"
    incomplete_steps: IncompleteSteps = "error"
    grid: GridConfig = Field(default_factory=SourceGrid)
    max_missing: float = Field(default=0.0, ge=0, lt=1)
    split: SplitConfig = Field(default_factory=SplitConfig)
    mode: Literal["prepared", "stream"] = "prepared"
    cache: CacheConfig = Field(default_factory=CacheConfig)
    memory_mb: float = Field(default=512, gt=0)

    @field_validator("first_day", "last_day")
    @classmethod
    def _check_day(cls, day: str | None) -> str | None:
        if day is not None:
            try:
                date.fromisoformat(day)
            except ValueError as error:
                raise ValueError("write a day as 1979-01-31") from error
        return day

    @field_validator("variables")
    @classmethod
    def _check_variables(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if not labels or len(set(labels)) != len(labels):
            raise ValueError("name at least one variable, and none twice")
        for label in labels:
            variables.parse(label)
        return labels

    @field_validator("step")
    @classmethod
    def _check_step(cls, step: str) -> str:
        step_length(step)
        return step

    @property
    def length(self) -> StepLength:
        """How long a step is, and what steps are called."""
        return StepLength.of(self.step)


@plain_dataclass(frozen=True)
class Recipe:
    """A source, checked, and how the store is made from it."""

    config: DataConfig
    source: Source
    regridder: ConservativeRegridder
    layout: StoreLayout

    @property
    def training_days(self) -> int:
        """Steps whose statistics standardise everything."""
        return len(split_days(Split(0, len(self.layout.days)), self.config.split)["train"])

    @property
    def block_steps(self) -> int:
        """Steps read at a time: whole chunks of the source, unless one is more than memory_mb."""
        step_bytes = int(np.prod([*self.layout.shape[1:2], *_source_grid(self.source).shape])) * 4
        steps = max(1, int(self.config.memory_mb * 2**20 // step_bytes))
        chunk = self.source.read_chunk
        return steps - steps % chunk if steps >= chunk else steps

    def read_fields(self, start: int, stop: int, on_read: OnRead | None = None) -> Fields:
        """Return the steps ``start … stop - 1`` as the store has them, shape (steps, V, X, Y).

        Args:
            start: First step.
            stop: The one after the last.
            on_read: Told what was read, as it goes.

        Raises:
            ConfigError: Too many values are missing; names the variable and the step.
            ReadError: The source cannot be read.
        """
        if self._may_miss_values or self.regridder.is_identity:
            return self._read_with_gaps(start, stop, on_read)
        # Averaging and regridding are linear, and far cheaper in this order: see decision 13.
        fields = self.source.read_steps(start, stop, self.regridder, on_read)
        gaps = np.flatnonzero(np.isnan(fields).any(axis=(1, 2, 3)))
        if len(gaps):
            step = start + int(gaps[0])
            self._read_with_gaps(step, step + 1)  # which says what is missing
        return fields

    @property
    def _may_miss_values(self) -> bool:
        """Whether gaps may be accepted; where they are is known only once all samples are read."""
        return self.config.max_missing > 0 or self.config.incomplete_steps == "average"

    def _read_with_gaps(self, start: int, stop: int, on_read: OnRead | None = None) -> Fields:
        """Average whole fields, as many steps at a time as memory_mb holds, then regrid them."""
        fields = np.empty((stop - start, *self.layout.shape[1:]), dtype=np.float32)
        offset = self.source.chunk_offset
        while start < stop:
            end = min(stop, ((start + offset) // self.block_steps + 1) * self.block_steps - offset)
            row = len(fields) - (stop - start)
            fields[row : row + end - start] = self._read_block(start, end, on_read)
            start = end
        return fields

    def _read_block(self, start: int, stop: int, on_read: OnRead | None) -> Fields:
        """Read and regrid some steps; their fields on the source's grid are freed on return."""
        fields = self.source.read_steps(start, stop, on_read=on_read)
        regridded = self.regridder(fields)
        if np.isnan(regridded).any():  # cheaper to check than all the values that were read
            self._check_missing(fields, start)
            regridded = self.regridder(fields, skip_missing=True)
        return regridded

    def _check_missing(self, fields: Fields, start: int) -> None:
        share = np.isnan(fields).mean(axis=(2, 3))
        if (share > self.config.max_missing).any():
            step, channel = np.argwhere(share > self.config.max_missing)[0]
            raise ConfigError(
                f"{self.config.variables[channel]} on {self.layout.days[start + step]} misses "
                f"{share[step, channel]:.3g} of its values (NaN), more than data.max_missing "
                f"{self.config.max_missing:g}: leave that day out (data.first_day, data.last_day), "
                "or raise data.max_missing"
            )


def read_recipe(config: DataConfig) -> Recipe:
    """Open the source and lay out its store; reads no field.

    Raises:
        ConfigError: The source does not fit, or the split leaves a part without days.
        ReadError: The source cannot be reached.
    """
    wanted = tuple(variables.parse(label) for label in config.variables)
    days = config.first_day, config.last_day
    source = open_source(config.source, wanted, *days, config.step, config.incomplete_steps)
    target = config.grid.grid(_source_grid(source))
    step_bytes = len(wanted) * int(np.prod(target.shape)) * 4
    read_bytes = source.bytes_to_read(0, len(source.days)) / len(source.days)
    shard_steps = shard_length(step_bytes, read_bytes, source.read_chunk)
    layout = StoreLayout(
        days=source.days,
        variables=config.variables,
        units=tuple(variable.definition.units for variable in wanted),
        longitude=target.longitude,
        latitude=target.latitude,
        provenance=_provenance(config, source) | {"shard_steps": shard_steps},
        shard_steps=shard_steps,
    )
    recipe = Recipe(config, source, ConservativeRegridder(_source_grid(source), target), layout)
    if recipe.training_days < 1:
        raise ConfigError(
            f"{len(source.days)} days leave none for training at data.split.train "
            f"{config.split.train}; take more days"
        )
    return recipe


def describe_recipe(recipe: Recipe) -> Iterator[str]:
    """Yield lines about what was found in the source, and what preparing it takes."""
    config, layout = recipe.config, recipe.layout
    yield describe_source(recipe.source)
    yield from _read_twice(recipe)
    if not recipe.regridder.is_identity:
        longitudes, latitudes = layout.shape[2:]
        yield f"grid: {longitudes}x{latitudes}, by conservative regridding"
    if config.mode == "stream":
        yield f"store: statistics alone, at {config.store}; fields stream from the source"
    else:
        yield (
            f"store: {layout.bytes / 1e6:,.0f} MB to write in {layout.shards} shards of "
            f"{layout.shard_steps} steps, at {config.store}"
        )


def _read_twice(recipe: Recipe) -> Iterator[str]:
    """Yield a line about what is read twice, where shards end inside the source's chunks."""
    source, layout = recipe.source, recipe.layout
    if offset := source.chunk_offset:
        once = source.bytes_to_read(0, len(source.days))
        shards = (source.bytes_to_read(*layout.shard_days(n)) for n in range(layout.shards))
        begins = source.days[min(source.read_chunk - offset, len(source.days) - 1)]
        yield (
            f"chunks: the first step is number {offset + 1} of its chunk of {source.read_chunk}; "
            f"{(sum(shards) - once) / 1e6:,.0f} MB are read twice, none with "
            f"data.first_day={begins.astype('datetime64[D]')}"
        )


def check_settings(provenance: dict[str, Any], config: DataConfig) -> None:
    """Refuse a store that was prepared with other settings.

    Args:
        provenance: As recorded in the store.
        config: The settings that are asked for.

    Raises:
        ConfigError: Lists what differs.
    """
    changed = differences(provenance.get("recipe", {}), recorded_settings(config), _INCIDENTAL)
    if changed:
        raise ConfigError(
            f"the store {config.store} was prepared from something else:\n  "
            + "\n  ".join(changed)
            + "\nchoose another data.store, or delete that one"
        )


def check_source(provenance: dict[str, Any], recipe: Recipe) -> None:
    """Refuse to continue with a source that is no longer what it was.

    Args:
        provenance: As recorded in the store when it was begun.
        recipe: The source as it is now.

    Raises:
        ConfigError: Lists what differs.
    """
    facts = ("first_day", "last_day", "samples_per_step", "shard_steps", "signature")
    recorded, now = (
        {name: source.get(name) for name in facts}
        for source in (provenance, recipe.layout.provenance)
    )
    if changed := differences(recorded, now):
        raise ConfigError(
            f"the source has changed since the store {recipe.config.store} was begun:\n  "
            + "\n  ".join(changed)
            + "\nbring the source back, or delete that store and prepare it anew"
        )


def recorded_settings(config: DataConfig) -> dict[str, Any]:
    """Return the settings that are recorded in a store."""
    settings = to_tree(config)
    del settings["store"], settings["memory_mb"], settings["cache"]
    del settings["split"]["validation"]  # only the training days enter the store
    return settings


def _provenance(config: DataConfig, source: Source) -> dict[str, Any]:
    return {
        "recipe": recorded_settings(config),
        "title": source.attributes.get("title", "untitled"),
        "source": source.attributes.get("source", "not stated"),
        "licence": config.source.licence or _own_licence(source),
        "simulated": config.source.is_simulated,
        "first_day": str(source.days[0]),
        "last_day": str(source.days[-1]),
        "samples_per_step": source.samples_per_step,
        "read_chunk": source.read_chunk,
        "chunk_offset": source.chunk_offset,
        "signature": source.signature,
        "description": describe_source(source),
        "prepared_by": f"sparta-ray {__version__}",
    }


def _own_licence(source: Source) -> str:
    """Return what a source states about its licence, in either spelling."""
    said = {name.lower(): value for name, value in source.attributes.items()}
    return said.get("licence", said.get("license", ""))


def _source_grid(source: Source) -> Grid:
    return Grid(source.longitude, source.latitude)
