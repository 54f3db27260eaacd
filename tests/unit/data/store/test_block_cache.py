import os
import threading
import time

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sparta_ray.base.config import load
from sparta_ray.base.errors import ConfigError
from sparta_ray.data.store.block_cache import HEADER_BYTES, BlockCache, CacheConfig
from sparta_ray.run.settings import Run

BLOCK_BYTES = HEADER_BYTES + 10 * 4  # ten values


class Source:
    """Makes blocks of ten equal values and remembers which."""

    def __init__(self, seconds=0.0):
        self.made, self._seconds = [], seconds

    def __call__(self, block):
        self.made.append(block)
        time.sleep(self._seconds)
        return np.full(10, block, dtype=np.float32)


def test_a_block_is_made_once_and_then_kept(tmp_path):
    source, cache = Source(), BlockCache(tmp_path / "new" / "folder", 10**6)
    for _ in range(3):
        assert_array_equal(cache.get(7, source, wait=False), np.full(10, 7))
    assert_array_equal(BlockCache(tmp_path / "new" / "folder", 10**6).get(7, source, True)[0], 7)
    assert source.made == [7]


def test_the_longest_unused_blocks_go_first(tmp_path):
    source, cache = Source(), BlockCache(tmp_path, 3 * (BLOCK_BYTES - HEADER_BYTES))
    for block in (0, 1, 2, 0, 3):  # 3 takes the place of 1
        cache.get(block, source, wait=True)
        time.sleep(0.01)  # files' times are not much finer
    assert sorted(path.stem for path in tmp_path.glob("*.npy")) == ["0", "2", "3"]
    assert sum(path.stat().st_size for path in tmp_path.glob("*.npy")) <= 3 * BLOCK_BYTES
    cache.get(1, source, wait=True)
    assert source.made == [0, 1, 2, 3, 1]


def test_a_cache_smaller_than_a_block_still_gives_it(tmp_path):
    source, cache = Source(), BlockCache(tmp_path, 1)
    for _ in range(2):
        assert_array_equal(cache.get(4, source, wait=True), np.full(10, 4))
    assert source.made == [4, 4]


def test_a_block_that_another_is_making_is_left_or_waited_for(tmp_path):
    slow = Source(seconds=0.3)
    other = threading.Thread(target=BlockCache(tmp_path, 10**6).get, args=(5, slow, True))
    other.start()
    while not slow.made:
        time.sleep(0.01)
    mine, source = BlockCache(tmp_path, 10**6), Source()
    assert mine.get(5, source, wait=False) is None
    assert_array_equal(mine.get(6, source, wait=False), np.full(10, 6))
    assert_array_equal(mine.get(5, source, wait=True), np.full(10, 5))
    other.join()
    assert source.made == [6]


def test_many_readers_make_each_block_once(tmp_path):
    source = Source(seconds=0.01)

    def read():
        cache = BlockCache(tmp_path, 10**6)
        for block in range(8):
            cache.get(block, source, wait=True)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(source.made) == list(range(8))


def test_a_maker_that_died_leaves_its_block_to_the_next(tmp_path):
    child = os.fork()
    if child == 0:
        BlockCache(tmp_path, 10**6).get(3, lambda _: os._exit(1), True)
    os.waitpid(child, 0)
    (tmp_path / "3.partial").write_bytes(b"half a blo")
    assert_array_equal(BlockCache(tmp_path, 10**6).get(3, Source(), wait=False), np.full(10, 3))


def test_a_full_disk_is_one_error_and_leaves_nothing(tmp_path):
    (tmp_path / "2.partial").symlink_to("/dev/full")
    with pytest.raises(ConfigError, match=r"is full; lower data\.cache\.mb or set"):
        BlockCache(tmp_path, 10**6).get(2, Source(), wait=True)
    assert not list(tmp_path.glob("*.npy"))
    assert_array_equal(BlockCache(tmp_path, 10**6).get(2, Source(), wait=True), np.full(10, 2))


def test_on_a_full_disk_what_is_not_needed_is_not_kept(tmp_path):
    source, cache = Source(), BlockCache(tmp_path, 10**6, needed=False)
    (tmp_path / "2.partial").symlink_to("/dev/full")
    assert_array_equal(cache.get(2, source, wait=True), np.full(10, 2))
    assert not list(tmp_path.glob("*.npy"))
    cache.get(2, source, wait=True)
    assert source.made == [2, 2]


def test_where_it_lies():
    config = CacheConfig(mb=2, folder="/scratch/blocks")
    assert str(config.folder_of("abc")) == "/scratch/blocks/abc"
    assert config.bytes == 2 * 2**20
    assert CacheConfig().folder_of("abc").name.endswith(f"{os.getuid()}-abc")
    with pytest.raises(ConfigError, match="folder: name it from the root"):
        load(Run, None, ["data.cache.folder=blocks"])
