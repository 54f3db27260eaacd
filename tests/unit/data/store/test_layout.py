import pytest

from sparta_ray.data.store.layout import shard_length

DAY_64x32 = 5 * 64 * 32 * 4
DAY_1440x721 = 5 * 1440 * 721 * 4


@pytest.mark.parametrize(
    ("step_bytes", "read_bytes", "read_chunk", "steps"),
    [
        (DAY_64x32, DAY_64x32, 1, 366),
        (DAY_64x32, DAY_64x32, 25, 350),  # ends where a chunk of the source ends
        (DAY_64x32, DAY_64x32, 1000, 366),  # such chunks are longer than any shard
        (DAY_1440x721, 4 * DAY_1440x721, 1, 12),  # 249 MB
        (DAY_64x32, 13 * 4 * DAY_1440x721, 1, 31),  # all levels of a 0.25° source: 33 GB
        (DAY_64x32, 37 * 24 * DAY_1440x721, 1, 8),
        (2**30, 2**30, 1, 1),
    ],
)
def test_shards_are_neither_large_to_hold_nor_long_to_read(
    step_bytes, read_bytes, read_chunk, steps
):
    assert shard_length(step_bytes, read_bytes, read_chunk) == steps
