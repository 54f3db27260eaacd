"""Making a store shard by shard: each is read, written and recorded alone, then all are merged.

A marker of each finished shard holds its statistics and hash, so that an interrupted preparation
continues with the shards that are missing.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from typing_extensions import TypedDict

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.paths import open_filesystem
from sparta_ray.base.records import damaged, decode_json
from sparta_ray.data.preparation.recipe import (
    DataConfig,
    Recipe,
    check_settings,
    check_source,
    recorded_settings,
)
from sparta_ray.data.sources import OnRead
from sparta_ray.data.store import writer as store_writer
from sparta_ray.data.store.readers import Fields
from sparta_ray.data.store.statistics import Statistics, StatisticsRecord
from sparta_ray.data.store.store import check_arrays, read_meta

_MARKER = ".finished/{}.json"


_REMEDY = "delete the store and prepare it anew"


class ShardRecord(TypedDict):
    """What a marker says of its shard; see `FinishedShard`."""

    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    statistics: StatisticsRecord


@dataclass(frozen=True)
class FinishedShard:
    """What is recorded of a written shard.

    Attributes:
        shard: Its number.
        digest: The sum of its steps' hashes, which does not depend on how steps make shards.
        statistics: Of its training steps.
    """

    shard: int
    digest: int
    statistics: Statistics

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers and texts."""
        return {"digest": f"{self.digest:032x}", "statistics": self.statistics.to_json()}

    @classmethod
    def from_json(cls, shard: int, state: ShardRecord) -> "FinishedShard":
        """Restore what `to_json` returned."""
        return cls(shard, int(state["digest"], 16), Statistics.from_json(state["statistics"]))


def lay_out(recipe: Recipe) -> dict[int, FinishedShard]:
    """Write the store's template, or the part of it that a killed process left unwritten.

    Returns:
        The shards that are finished; if there are any, so is the template.

    Raises:
        ConfigError: Another process has begun the store meanwhile, from other settings or from a
            source that has changed since; or it cannot be written.
    """
    path, with_fields = recipe.config.store, recipe.config.mode == "prepared"
    store_writer.clear_partials(path)
    meta, finished = read_meta(path), read_markers(path)
    if meta is None:
        store_writer.write_template(path, recipe.layout, with_fields)
        return finished
    check_settings(meta["provenance"], recipe.config)
    check_source(meta["provenance"], recipe)
    if finished:
        check_arrays(path, with_fields)
    else:
        store_writer.rewrite_template(path, recipe.layout, with_fields)
    return finished


def write_shard(recipe: Recipe, shard: int, on_read: OnRead | None = None) -> FinishedShard:
    """Read, check and write the steps of one shard, then leave its marker.

    Raises:
        ConfigError: A variable misses too many values; or the shard cannot be written.
        ReadError: The source cannot be read, or holds values that no weather has.
    """
    start, stop = recipe.layout.shard_days(shard)
    fields = recipe.read_fields(start, stop, on_read)
    if recipe.config.mode == "prepared":
        store_writer.write_shard(recipe.config.store, start, fields)
    statistics = Statistics.of(fields[: max(0, recipe.training_days - start)])
    finished = FinishedShard(shard, _digest(fields, start), statistics)
    marker = json.dumps(finished.to_json())
    store_writer.write_file(recipe.config.store, _MARKER.format(shard), marker)
    return finished


def read_markers(path: str) -> dict[int, FinishedShard]:
    """Return the shards that an earlier, interrupted preparation finished."""
    filesystem, root = open_filesystem(path)
    filesystem.invalidate_cache()
    names = filesystem.glob(f"{root}/{_MARKER.format('*')}")
    states = filesystem.cat(names) if names else {}
    found = {}
    for name, state in states.items():
        stem = PurePath(name).stem
        if not stem.isdigit():
            raise damaged(path, f"{name} is no marker of a shard", _REMEDY)
        record = decode_json(state, ShardRecord, name, _REMEDY)
        found[int(stem)] = FinishedShard.from_json(int(stem), record)
    return found


def finish(recipe: Recipe, shards: dict[int, FinishedShard]) -> None:
    """Merge the statistics in shard order, compute the fingerprint and mark the store complete.

    Raises:
        ConfigError: A variable is constant, or missing altogether.
    """
    assert sorted(shards) == list(range(recipe.layout.shards))
    total = Statistics.zero(len(recipe.layout.variables))
    for shard in sorted(shards):
        total = total.merge(shards[shard].statistics)
    constant = [
        label for label, std in zip(recipe.layout.variables, total.std, strict=True) if not std > 0
    ]
    if constant:
        raise ConfigError(f"constant over the training days, so not standardisable: {constant}")
    store_writer.clear_partials(recipe.config.store)  # of tasks that were killed on the way
    fingerprint = _fingerprint(recipe, sum(shard.digest for shard in shards.values()))
    store_writer.mark_complete(recipe.config.store, total, recipe.training_days, fingerprint)


def record_settings(config: DataConfig) -> None:
    """Let a finished store stream as `config` now says, such as with other credentials."""
    if config.mode != "stream":
        return
    meta = read_meta(config.store)
    assert meta is not None
    if meta["provenance"]["recipe"] != recorded_settings(config):
        store_writer.record_recipe(config.store, recorded_settings(config))


def _digest(fields: Fields, start: int) -> int:
    """Return the sum of the steps' hashes, each salted with its position in the store."""
    total = 0
    for place, field in enumerate(np.ascontiguousarray(fields), start):
        step = hashlib.blake2b(field, digest_size=16, salt=place.to_bytes(16))
        total += int.from_bytes(step.digest())
    return total % 2**128


def _fingerprint(recipe: Recipe, digest: int) -> str:
    """Hash what a model trained on the store depends on: values, steps, channels, grid."""
    layout = recipe.layout
    identity = [
        *layout.variables,
        *map(str, (layout.days[0], layout.days[-1], len(layout.days), recipe.training_days)),
        str(layout.longitude.tolist()),
        str(layout.latitude.tolist()),
        f"{digest % 2**128:032x}",
    ]
    return hashlib.blake2b("\x1f".join(identity).encode(), digest_size=16).hexdigest()
