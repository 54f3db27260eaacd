"""Prepare a store on Ray Data: one task a shard, continued where it was interrupted."""

import time
from collections.abc import Iterator
from typing import Any

import ray

from sparta_ray.config import ConfigError
from sparta_ray.data import store
from sparta_ray.data.recipe import (
    DataConfig,
    FinishedShard,
    Recipe,
    check_settings,
    check_source,
    finish,
    read_markers,
    read_recipe,
    write_shard,
)
from sparta_ray.data.statistics import Statistics
from sparta_ray.progress import ProgressLine, clock


def prepare(config: DataConfig) -> store.Store:
    """Return the store of `config`, preparing what of it is not there yet.

    Raises:
        ConfigError: The source does not fit, or another recipe's store is in the way.
    """
    meta = store.read_meta(config.store)
    if meta is not None:
        check_settings(meta, config)
        if meta["complete"]:
            return store.Store(config.store)
    recipe = read_recipe(config)
    if meta is None:
        store.write_template(config.store, recipe.layout)
    else:
        check_source(meta, recipe)
        if not store.has_template(config.store):
            store.mend_template(config.store, recipe.layout)
    finished = read_markers(config.store, recipe.layout.shards)
    pending = [shard for shard in range(recipe.layout.shards) if shard not in finished]
    finish(recipe, finished | _write_shards(recipe, pending))
    return store.Store(config.store)


def _write_shards(recipe: Recipe, pending: list[int]) -> dict[int, FinishedShard]:
    """Write the pending shards in parallel, reporting each."""
    progress, began = ProgressLine("prepare"), time.monotonic()
    finished: dict[int, FinishedShard] = {}
    if not pending:
        return finished
    ray.data.DataContext.get_current().enable_progress_bars = False
    shards = ray.data.from_items(pending, override_num_blocks=len(pending))
    written = shards.map(_ShardWriter(recipe.config))
    for row in _rows(written):
        shard = FinishedShard(row["shard"], row["digest"], Statistics.from_json(row["statistics"]))
        finished[shard.shard] = shard
        eta = (time.monotonic() - began) / len(finished) * (len(pending) - len(finished))
        progress.show(
            len(finished), len(pending), f"shard of {store.SHARD_DAYS} days | eta {clock(eta)}"
        )
    return finished


def _rows(written: "ray.data.Dataset") -> Iterator[dict[str, Any]]:
    """Yield finished shards; unfit data fail as the user's error that they are."""
    try:
        yield from written.iter_rows()
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ValueError):
            raise ConfigError(str(error.cause)) from error
        raise


class _ShardWriter:
    """A task that writes one shard; every process opens the source for itself."""

    def __init__(self, config: DataConfig):
        self._config = config

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        done = write_shard(read_recipe(self._config), int(row["item"]))
        return {
            "shard": done.shard,
            "digest": done.digest,
            "statistics": done.statistics.to_json(),
        }
