"""What is known of a run's data before anything starts: a finished store, or how to make one."""

from dataclasses import dataclass
from typing import Any

from sparta_ray.base.errors import ConfigError, ReadError
from sparta_ray.data.preparation.recipe import (
    DataConfig,
    Recipe,
    check_settings,
    check_source,
    read_recipe,
)
from sparta_ray.data.preparation.shards import read_markers
from sparta_ray.data.store import writer as store_writer
from sparta_ray.data.store.layout import StoreLayout
from sparta_ray.data.store.store import Store, read_meta


@dataclass(frozen=True)
class DataFacts:
    """What was found out about a run's data; looked up once and handed on.

    Attributes:
        config: The data's settings.
        layout: Times, variables and grid of the store, finished or not.
        fingerprint: The finished store's; None while the store is not finished.
        recipe: The opened source and how the store is made from it; None for a finished store,
            whose source is not opened again.
    """

    config: DataConfig
    layout: StoreLayout
    fingerprint: str | None
    recipe: Recipe | None

    @property
    def complete(self) -> bool:
        """Whether the store is finished, so that nothing has to be prepared."""
        return self.recipe is None


def inspect_data(config: DataConfig, may_prepare: bool = True) -> DataFacts:
    """Look up a store or, if it is not finished, the source that it is to be made from.

    Args:
        config: The data's settings.
        may_prepare: Whether a store may still be made; a job that only reads needs a finished one.

    Raises:
        ConfigError: The store was prepared with other settings, or is not finished but should be;
            or it cannot be prepared: something else is in its place, the source does not fit,
            cannot be reached or has changed since the store was begun, or the disk is too small.
    """
    meta = read_meta(config.store)
    if meta is not None:
        check_settings(meta["provenance"], config)
        if meta["complete"] or not may_prepare:
            store = Store(config.store, meta=meta)  # refuses one that is not finished
            return DataFacts(config, store.layout, store.fingerprint, recipe=None)
    elif may_prepare:
        store_writer.check_path_free(config.store)
    else:
        raise ConfigError(
            f"no store at {config.store}; correct data.store, or run jobs/prepare_data.py first"
        )
    recipe = _open_recipe(config, meta)
    return DataFacts(config, recipe.layout, fingerprint=None, recipe=recipe)


def _open_recipe(config: DataConfig, meta: dict[str, Any] | None) -> Recipe:
    """Open the source of a store that is not finished; `meta` is its record, once it is begun."""
    try:
        config.source.check_reach()
        recipe = read_recipe(config)
    except ReadError as error:
        raise ConfigError(str(error)) from error
    finished_shards = 0
    if meta is not None:
        check_source(meta["provenance"], recipe)
        finished_shards = len(read_markers(config.store))
    if config.mode == "prepared":
        share_left = 1 - finished_shards / recipe.layout.shards
        store_writer.check_disk_space(config.store, recipe.layout.bytes * share_left)
    return recipe
