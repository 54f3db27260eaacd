import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sparta_ray.base.seeding import derive_seed

KEYS = st.lists(st.integers(-9, 9) | st.text("ab1'", max_size=3), max_size=3).map(tuple)


def test_a_seed_is_the_same_on_every_machine_and_version():
    assert derive_seed(0, "plan", "train", 3) == 1911421144909217047
    assert derive_seed(0, "plan", "train", 3) == derive_seed(0, "plan", "train", 3)


def test_every_argument_counts():
    seeds = {
        derive_seed(0, "plan", "train", 3),
        derive_seed(1, "plan", "train", 3),
        derive_seed(0, "plans", "train", 3),
        derive_seed(0, "plan", "test", 3),
        derive_seed(0, "plan", "train", 4),
        derive_seed(0, "plan", 3, "train"),
        derive_seed(0, "plan", "train"),
        derive_seed(0, "plan", "train", "3"),
    }
    assert len(seeds) == 8


def test_a_numpy_integer_is_the_number_it_holds():
    assert derive_seed(np.int64(7), "mask", np.int64(3)) == derive_seed(7, "mask", 3)


@given(st.integers(0, 2**40), KEYS, KEYS)
def test_seeds_fit_63_bits_and_differ_where_keys_do(base, keys, other):
    seed = derive_seed(base, "stream", *keys)
    assert 0 <= seed < 2**63
    assert (seed == derive_seed(base, "stream", *other)) == (keys == other)
