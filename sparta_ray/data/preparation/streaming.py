"""Streaming: days are read from the source when they are asked for, and nothing is copied first.

A store in this mode holds coordinates, statistics and provenance, but no fields. Whole blocks of
steps are read, averaged and regridded as they would have been for a store, so both modes give the
same values bit for bit.
"""

from functools import cache

from sparta_ray.base.config import from_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.records import damaged
from sparta_ray.data.plan.sampling import SamplingConfig
from sparta_ray.data.preparation.recipe import DataConfig, Recipe, check_source, read_recipe
from sparta_ray.data.store.block_cache import CacheConfig
from sparta_ray.data.store.cached_reader import BLOCK_STEPS, CachedReader
from sparta_ray.data.store.layout import StoreLayout
from sparta_ray.data.store.metadata import REMEDY
from sparta_ray.data.store.store import Store


def stream_block(read_chunk: int) -> int:
    """Return how many steps are read and cached together: whole chunks, 16 steps or more.

    >>> stream_block(1), stream_block(10), stream_block(25)
    (16, 20, 25)
    """
    return -(-BLOCK_STEPS // read_chunk) * read_chunk


def open_stream(
    path: str, layout: StoreLayout, fingerprint: str, cache_config: CacheConfig
) -> CachedReader:
    """Return the reader of a store without fields; its source is opened when it is first needed.

    Args:
        path: Where the store is.
        layout: What it holds, with the recipe that it was made from.
        fingerprint: Of the fields that were seen when it was prepared.
        cache_config: The node's cache.

    Raises:
        ConfigError: The cache cannot be made; or, on reading, the source is no longer the one that
            was prepared.
    """
    # The source does not depend on the split, of which only the training share is recorded.
    settings = {name: v for name, v in layout.provenance["recipe"].items() if name != "split"}
    config = from_tree(DataConfig, {**settings, "store": path}, f"the recipe of {path}")

    @cache
    def recipe() -> Recipe:
        opened = read_recipe(config)
        check_source(layout.provenance, opened)
        return opened

    if "read_chunk" not in layout.provenance:
        raise damaged(path, "it does not say in which chunks its source is read", REMEDY)
    block_steps = stream_block(layout.provenance["read_chunk"])
    offset = int(layout.provenance.get("chunk_offset", 0))
    try:
        return CachedReader.of(
            lambda start, stop: recipe().read_fields(start, stop),
            layout,
            fingerprint,
            cache_config,
            block_steps,
            offset,
        )
    except OSError as error:
        raise ConfigError(
            f"{path} streams from its source and needs a cache on this machine, which cannot be "
            f"made: {error}; set data.cache.folder to a folder that can be written"
        ) from error


def open_store(path: str, cache_config: CacheConfig | None = None) -> Store:
    """Open a complete store, whether it holds its fields or streams them from their source.

    Args:
        path: Where it is.
        cache_config: What this node may cache of its fields if they lie elsewhere.

    Raises:
        ConfigError: There is none, or its preparation is not finished.
    """
    return Store(path, cache_config, open_stream)


def check_stream(config: CacheConfig, sampling: SamplingConfig, layout: StoreLayout) -> None:
    """Refuse a cache smaller than a batch's blocks: each would be read again and again.

    Args:
        config: The cache.
        sampling: How batches are drawn.
        layout: What there is to read, and in which chunks.

    Raises:
        ConfigError: Names what the cache must hold, and what to change.
    """
    if layout.bytes <= config.bytes:
        return
    everything = f"data.cache.mb to {_mib(layout.bytes)}, which holds all data"
    if sampling.locality is None:
        raise ConfigError(
            "data.mode stream reads a block of the source for every row of a batch that is drawn "
            "from the whole split; set sampling.locality, for example to {block_steps: 64}, or "
            f"{everything}"
        )
    steps = working_steps(sampling, stream_block(layout.provenance["read_chunk"]))
    at_once = steps * layout.bytes // len(layout.days)
    if at_once > config.bytes:
        raise ConfigError(
            f"data.cache.mb {config.mb} is less than the {_mib(at_once)} MiB that a "
            "batch's blocks take; set it to that or more, or lower sampling.locality.blocks_at_once"
        )


def working_steps(sampling: SamplingConfig, block_steps: int) -> int:
    """Return how many steps, in whole blocks of a source, a group's batches are drawn from.

    With negatives, a sampling block of 64 days takes 154 days and 74 more far away: ten and five
    blocks of a source whose blocks have 16 days.
    """
    assert sampling.locality is not None
    far = sampling.locality.block_steps + 2 * sampling.max_neighbour_days
    own = far + 2 * sampling.hard_days[1]  # hard negatives reach over both ends
    spans = [own, far] if sampling.negatives else [far]
    blocks = sum(-(-span // block_steps) for span in spans)
    return sampling.locality.blocks_at_once * blocks * block_steps


def _mib(size: int) -> int:
    return -(-size // 2**20)
