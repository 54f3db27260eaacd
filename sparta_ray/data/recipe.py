"""What a store is made from, and the pure steps of making it, shard by shard."""

import hashlib
import json
from dataclasses import dataclass as plain_dataclass
from datetime import date
from typing import Any

import fsspec
from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from sparta_ray import __version__, variables
from sparta_ray.config import STRICT, ConfigError, differences, to_tree
from sparta_ray.data import store
from sparta_ray.data.sources import SampleSource, Source, SourceConfig, licence_text, open_source
from sparta_ray.data.splits import Split, SplitConfig, split_days
from sparta_ray.data.statistics import Statistics


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DataConfig:
    """Which data, and where its prepared store lies.

    Attributes:
        source: Where the fields come from.
        store: Path or fsspec URL of the prepared store.
        variables: Labels of the channels, in order, such as ``geopotential@850``.
        first_day: First day to take, such as ``1979-01-01``; None for the source's first.
        last_day: Last day to take; None for the source's last.
        split: Shares of days for training, validation and (the rest) testing.
    """

    source: SourceConfig = Field(default_factory=SampleSource)
    store: str = "runs/stores/sample.zarr"
    variables: tuple[str, ...] = variables.PUBLISHED
    first_day: str | None = None
    last_day: str | None = None
    split: SplitConfig = Field(default_factory=SplitConfig)

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


@plain_dataclass(frozen=True)
class Recipe:
    """A source, checked, and the layout of the store to be made from it."""

    config: DataConfig
    source: Source
    layout: store.StoreLayout

    @property
    def training_days(self) -> int:
        """Days whose statistics standardise everything."""
        return len(split_days(Split(0, len(self.layout.days)), self.config.split)["train"])


@plain_dataclass(frozen=True)
class FinishedShard:
    """What is remembered of a written shard."""

    shard: int
    digest: str
    statistics: Statistics


def read_recipe(config: DataConfig) -> Recipe:
    """Open the source and lay out its store; reads no field.

    Raises:
        ConfigError: The source does not fit, or the split leaves a part without days.
    """
    wanted = tuple(variables.parse(label) for label in config.variables)
    source = open_source(config.source, wanted, config.first_day, config.last_day)
    layout = store.StoreLayout(
        days=source.days,
        variables=config.variables,
        units=tuple(variable.definition.units for variable in wanted),
        longitude=source.longitude,
        latitude=source.latitude,
        provenance=_provenance(config, source),
    )
    recipe = Recipe(config, source, layout)
    if recipe.training_days < 1:
        raise ConfigError(
            f"{len(source.days)} days leave none for training at data.split.train "
            f"{config.split.train}; take more days"
        )
    return recipe


def check_settings(meta: dict[str, Any], config: DataConfig) -> None:
    """Refuse a store that was prepared with other settings.

    Raises:
        ConfigError: Lists what differs.
    """
    _refuse(config, differences(meta["provenance"]["recipe"], _settings(config)))


def check_source(meta: dict[str, Any], recipe: Recipe) -> None:
    """Refuse to continue a store whose source has changed its days since.

    Raises:
        ConfigError: Lists what differs.
    """
    facts = ("first_day", "last_day", "samples_per_day")
    recorded, now = (
        {name: provenance[name] for name in facts}
        for provenance in (meta["provenance"], recipe.layout.provenance)
    )
    _refuse(recipe.config, differences(recorded, now))


def _refuse(config: DataConfig, changed: list[str]) -> None:
    if changed:
        raise ConfigError(
            f"the store {config.store} was prepared from something else:\n  "
            + "\n  ".join(changed)
            + "\nchoose another data.store, or delete that one"
        )


def write_shard(recipe: Recipe, shard: int) -> FinishedShard:
    """Read, average, check and write the days of one shard, then leave its marker."""
    start, stop = recipe.layout.shard_days(shard)
    fields = recipe.source.read_days(start, stop)
    store.write_shard(recipe.config.store, start, fields)
    finished = FinishedShard(
        shard,
        hashlib.blake2b(fields.tobytes(), digest_size=16).hexdigest(),
        Statistics.of(fields[: max(0, recipe.training_days - start)]),
    )
    _write_marker(recipe.config.store, finished)
    return finished


def read_markers(path: str, shards: int) -> dict[int, FinishedShard]:
    """Return the shards an earlier, interrupted preparation had finished."""
    filesystem, root = fsspec.core.url_to_fs(path)
    found = {}
    for shard in range(shards):
        try:
            state = json.loads(filesystem.cat_file(f"{root}/.finished/{shard}.json"))
        except FileNotFoundError:
            continue
        found[shard] = FinishedShard(
            shard, state["digest"], Statistics.from_json(state["statistics"])
        )
    return found


def finish(recipe: Recipe, shards: dict[int, FinishedShard]) -> None:
    """Merge the statistics in shard order, fingerprint the whole and let the store open."""
    assert sorted(shards) == list(range(recipe.layout.shards))
    total = Statistics.zero(len(recipe.layout.variables))
    for shard in sorted(shards):
        total = total.merge(shards[shard].statistics)
    constant = [
        label for label, std in zip(recipe.layout.variables, total.std, strict=True) if not std > 0
    ]
    if constant:
        raise ConfigError(f"constant over the training days, so not standardisable: {constant}")
    store.mark_complete(
        recipe.config.store, total, recipe.training_days, _fingerprint(recipe, shards)
    )


def _settings(config: DataConfig) -> dict[str, Any]:
    """Return the settings that decide what a store holds."""
    settings = to_tree(config)
    del settings["store"]
    del settings["split"]["validation"]  # only the training days enter the store
    return settings


def _provenance(config: DataConfig, source: Source) -> dict[str, Any]:
    return {
        "recipe": _settings(config),
        "title": source.attributes.get("title", "untitled"),
        "source": source.attributes.get("source", "not stated"),
        "licence": licence_text(config.source),
        "simulated": config.source.simulated,
        "first_day": str(source.days[0]),
        "last_day": str(source.days[-1]),
        "samples_per_day": source.samples_per_day,
        "prepared_by": f"sparta-ray {__version__}",
    }


def _fingerprint(recipe: Recipe, shards: dict[int, FinishedShard]) -> str:
    """Hash what a model trained on the store depends on: values, days, channels, grid."""
    layout = recipe.layout
    identity = [
        *layout.variables,
        *map(str, (layout.days[0], layout.days[-1], recipe.training_days)),
        str(layout.longitude.tolist()),
        str(layout.latitude.tolist()),
        *(shards[shard].digest for shard in sorted(shards)),
    ]
    return hashlib.blake2b("\x1f".join(identity).encode(), digest_size=16).hexdigest()


def _write_marker(path: str, finished: FinishedShard) -> None:
    filesystem, root = fsspec.core.url_to_fs(path)
    state = {"digest": finished.digest, "statistics": finished.statistics.to_json()}
    filesystem.makedirs(f"{root}/.finished", exist_ok=True)
    partial = f"{root}/.finished/{finished.shard}.json.partial"
    filesystem.pipe_file(partial, json.dumps(state).encode())
    filesystem.mv(partial, partial.removesuffix(".partial"))
