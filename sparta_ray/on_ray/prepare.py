"""Prepare a store on Ray Data: one task for each shard, continued where it was interrupted."""

import json
import threading
import time
from typing import Any, Self

import ray
from ray.exceptions import OutOfMemoryError

from sparta_ray.base.config import to_tree
from sparta_ray.base.errors import ConfigError, FailedError, ReadError
from sparta_ray.base.progress import ProgressLine, clock
from sparta_ray.data.preparation.facts import DataFacts
from sparta_ray.data.preparation.recipe import (
    DataConfig,
    Recipe,
    check_settings,
    check_source,
    read_recipe,
)
from sparta_ray.data.preparation.shards import (
    FinishedShard,
    finish,
    lay_out,
    record_settings,
    write_shard,
)
from sparta_ray.data.preparation.streaming import open_store
from sparta_ray.data.sources import OnRead
from sparta_ray.data.store.lock import exclusive_lock
from sparta_ray.data.store.store import Store, read_meta
from sparta_ray.on_ray.memory_kill import SHARDS, cause_of
from sparta_ray.on_ray.message_board import MessageBoard, open_topic

_SAY_EVERY = 3.0
"""Seconds between two lines of progress."""


def prepare(data: DataFacts) -> Store:
    """Return the finished store, after preparing what is missing of it.

    Raises:
        ConfigError: The source has changed or cannot be read; a store of other settings is in the
            way, or another process is preparing this one; or it cannot be written.
    """
    config, recipe = data.config, data.recipe
    if recipe is not None and not _is_complete(config):
        with exclusive_lock(config.store):
            if not _is_complete(config):  # another process may have been faster
                finished = lay_out(recipe)
                pending = [n for n in range(recipe.layout.shards) if n not in finished]
                written = _write_shards(recipe, pending)
                if written:
                    _check_whole_source(recipe)
                finish(recipe, finished | written)
    record_settings(config)
    return open_store(config.store, config.cache)


def _is_complete(config: DataConfig) -> bool:
    """Return whether the store is finished by now, though it may not have been when inspected."""
    meta = read_meta(config.store)
    if meta is None:
        return False
    check_settings(meta["provenance"], config)
    return bool(meta["complete"])


def _write_shards(recipe: Recipe, pending: list[int]) -> dict[int, FinishedShard]:
    """Write the pending shards in parallel, reporting each.

    Raises:
        ConfigError: The source does not fit or cannot be read, or the store cannot be written.
        FailedError: There is too little memory; the shards that are finished are kept.
    """
    finished: dict[int, FinishedShard] = {}
    if not pending:
        return finished
    ray.data.DataContext.get_current().enable_progress_bars = False
    shards = ray.data.from_items(pending, override_num_blocks=len(pending))
    with _Progress(recipe, pending) as progress:
        writer = _ShardWriter(recipe.config, recipe.layout.provenance, progress.reading)
        try:
            for row in shards.map(writer).iter_rows():
                if row["error"]:
                    raise ConfigError(row["error"])
                shard = FinishedShard.from_json(row["shard"], json.loads(row["state"]))
                finished[shard.shard] = shard
                progress.finish(shard.shard)
        except OutOfMemoryError as error:
            raise FailedError(f"preparing was {cause_of(str(error), SHARDS)}") from error
    return finished


def _check_whole_source(recipe: Recipe) -> None:
    """Refuse a source that has changed while it was read, or that files were added to.

    Raises:
        ConfigError: It has changed, or cannot be read any more.
    """
    try:
        check_source(recipe.layout.provenance, read_recipe(recipe.config))
    except ReadError as error:
        raise ConfigError(str(error)) from error


class _Reading:
    """Posts to the message board how many bytes of a shard a task has read so far."""

    def __init__(self, board: "ray.actor.ActorHandle[MessageBoard]", topic: str, every: float):
        self._board, self._topic, self._every = board, topic, every

    def of(self, shard: int) -> OnRead:
        """Return a function that adds up one shard's bytes, beginning at 0."""
        read, posted = 0, time.monotonic()

        def count(more: int) -> None:
            nonlocal read, posted
            read, now = read + more, time.monotonic()
            if now - posted > self._every:
                posted = now
                self._board.post.remote(self._topic, shard, read, read, None)

        return count


class _Progress:
    """Shows every few seconds how much was read, for finished shards and those being written."""

    def __init__(self, recipe: Recipe, pending: list[int]):
        self._board, self._topic = open_topic()
        self.reading = _Reading(self._board, self._topic, _SAY_EVERY)
        self._steps = recipe.layout.shard_steps
        layout, source = recipe.layout, recipe.source
        self._bytes = {n: source.bytes_to_read(*layout.shard_days(n)) for n in pending}
        self._finished: set[int] = set()
        self._line, self._began = ProgressLine("prepare", _SAY_EVERY), time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def finish(self, shard: int) -> None:
        """Count a shard as done."""
        self._finished.add(shard)
        if len(self._finished) == len(self._bytes):
            self._show({})

    def _follow(self) -> None:
        while not self._over.wait(timeout=_SAY_EVERY):
            messages = ray.get(self._board.last_messages.remote(self._topic))
            if len(self._finished) < len(self._bytes):
                self._show({shard: int(last.content) for shard, last in messages.items()})

    def _show(self, read_of: dict[int, int]) -> None:
        done, total = self._finished.copy(), sum(self._bytes.values())
        read = sum(
            size if shard in done else min(read_of.get(shard, 0), size)
            for shard, size in self._bytes.items()
        )
        rate = read / (time.monotonic() - self._began)
        text = f"shards of {self._steps} steps | {read / 1e6:,.0f} of {total / 1e6:,.0f} MB read"
        text += f", {rate / 1e6:.0f} MB/s"
        if read:
            text += f" | eta {clock((total - read) / rate)}"
        self._line.show(len(done), len(self._bytes), text)


class _ShardWriter:
    """Writes one shard in a task; each process opens the source itself, once."""

    def __init__(self, config: DataConfig, provenance: dict[str, Any], reading: _Reading):
        self._config, self._provenance, self._reading = config, provenance, reading

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the finished shard's state, or a user's error, which Ray would wrap if raised."""
        shard = int(row["item"])
        try:
            recipe = _opened(self._config, self._provenance)
            state = json.dumps(write_shard(recipe, shard, self._reading.of(shard)).to_json())
        except ValueError as error:
            return {"shard": shard, "state": "", "error": str(error)}
        return {"shard": shard, "state": state, "error": ""}


_OPENED: dict[str, Recipe] = {}
"""The source that this process has opened, by its settings and signature; the last one only."""


def _opened(config: DataConfig, provenance: dict[str, Any]) -> Recipe:
    """Return the opened source; it is opened again if it has changed since this process did.

    Raises:
        ConfigError: It is not the one that the store was begun with: it may change while it is
            being read.
        ReadError: It cannot be reached.
    """
    key = json.dumps([to_tree(config), provenance["signature"]])
    recipe = _OPENED.get(key)
    if recipe is None or recipe.source.has_changed():
        _OPENED.clear()
        recipe = read_recipe(config)
        check_source(provenance, recipe)
        _OPENED[key] = recipe
    return recipe
