"""Prepare a store on Ray Data: one task a shard, continued where it was interrupted."""

import json
import time
from typing import Any

import ray

from sparta_ray.config import ConfigError
from sparta_ray.data.recipe import DataConfig, Recipe, check_settings, check_source, read_recipe
from sparta_ray.data.shards import (
    FinishedShard,
    finish,
    lay_out,
    plan_store,
    record_settings,
    write_shard,
)
from sparta_ray.data.store import Store, read_meta
from sparta_ray.data.store_lock import held
from sparta_ray.progress import ProgressLine, clock


def prepare(config: DataConfig) -> Store:
    """Return the store of `config`, preparing what of it is not there yet.

    Raises:
        ConfigError: The source does not fit, has changed or cannot be read; another recipe's store
            is in the way, or another process prepares this one; or it cannot be written.
    """
    if not _is_complete(config):
        recipe = plan_store(config)
        with held(config.store):
            if not _is_complete(config):  # another process may have been faster
                finished = lay_out(recipe)
                pending = [n for n in range(recipe.layout.shards) if n not in finished]
                finish(recipe, finished | _write_shards(recipe, pending))
    record_settings(config)
    return Store(config.store)


def _is_complete(config: DataConfig) -> bool:
    meta = read_meta(config.store)
    if meta is None:
        return False
    check_settings(meta, config)
    return bool(meta["complete"])


def _write_shards(recipe: Recipe, pending: list[int]) -> dict[int, FinishedShard]:
    """Write the pending shards in parallel, reporting each.

    Raises:
        ConfigError: The source does not fit or cannot be read, or the store cannot be written.
    """
    progress, began = ProgressLine("prepare"), time.monotonic()
    finished: dict[int, FinishedShard] = {}
    if not pending:
        return finished
    ray.data.DataContext.get_current().enable_progress_bars = False
    shards = ray.data.from_items(pending, override_num_blocks=len(pending))
    read = 0
    for row in shards.map(_ShardWriter(recipe.config, recipe.layout.provenance)).iter_rows():
        if row["error"]:
            raise ConfigError(row["error"])
        shard = FinishedShard.from_json(row["shard"], json.loads(row["state"]))
        finished[shard.shard] = shard
        read += recipe.source.bytes_to_read(*recipe.layout.shard_days(shard.shard))
        seconds = time.monotonic() - began
        eta = seconds / len(finished) * (len(pending) - len(finished))
        text = f"shards of {recipe.layout.shard_steps} steps"
        text += f" | {read / 1e6 / seconds:.0f} MB/s read | eta {clock(eta)}"
        progress.show(len(finished), len(pending), text)
    return finished


class _ShardWriter:
    """A task that writes one shard; every process opens the source for itself."""

    def __init__(self, config: DataConfig, provenance: dict[str, Any]):
        self._config, self._provenance = config, provenance

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the finished shard's state, or the user's error: Ray would wrap it in its own."""
        shard = int(row["item"])
        try:
            recipe = read_recipe(self._config)
            check_source(self._provenance, recipe)  # it may change while it is being read
            state = json.dumps(write_shard(recipe, shard).to_json())
        except ValueError as error:
            return {"shard": shard, "state": "", "error": str(error)}
        return {"shard": shard, "state": state, "error": ""}
