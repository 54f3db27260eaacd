import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparta_ray.base.config import from_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.data.plan.splits import Split, SplitConfig, split_days


def test_published_counts():
    parts = split_days(Split(0, 23_386), SplitConfig())
    assert {name: len(part) for name, part in parts.items()} == {
        "train": 14_031,
        "validation": 4_677,
        "test": 4_678,
    }


def test_published_counts_of_the_test_part_split_again():
    parts = split_days(Split(18_708, 23_386), SplitConfig())
    assert [len(part) for part in parts.values()] == [2_806, 935, 937]
    assert parts["train"].start == 18_708


@given(
    start=st.integers(0, 500),
    days=st.integers(1, 500),
    train=st.floats(0.01, 0.7),
    validation=st.floats(0.01, 0.29),
)
def test_parts_follow_each_other_and_cover_every_day(start, days, train, validation):
    whole = Split(start, start + days)
    parts = split_days(whole, SplitConfig(train=train, validation=validation))
    assert list(parts) == ["train", "validation", "test"]
    days_of_parts = [day for part in parts.values() for day in range(part.start, part.stop)]
    assert days_of_parts == list(range(start, start + days))
    assert len(parts["train"]) <= train * days


def test_shares_that_leave_no_test_part():
    with pytest.raises(ConfigError, match=r"train 0\.7 \+ validation 0\.3 leaves no test days"):
        from_tree(SplitConfig, {"train": 0.7, "validation": 0.3}, "run")
