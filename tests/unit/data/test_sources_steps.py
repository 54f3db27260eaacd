import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparta_ray.base.durations import span, step_length
from sparta_ray.base.errors import ConfigError
from sparta_ray.data.sources.steps import StepMeans, lay_steps

DAY = np.timedelta64(24, "h")


def every(hours, count, first="1979-01-01T00"):
    """Return `count` times, so many hours apart."""
    return np.datetime64(first, "s") + np.arange(count) * np.timedelta64(hours, "h")


@pytest.mark.parametrize(("text", "hours"), [("6h", 6), ("1d", 24), ("24h", 24), ("5d", 120)])
def test_a_length_is_read(text, hours):
    assert step_length(text) == np.timedelta64(hours, "h")


@pytest.mark.parametrize("text", ["", "0d", "5h", "36h", "1.5d", "1 d", "1w", "-1d", "d"])
def test_a_length_that_is_none(text):
    with pytest.raises(ConfigError, match=r"hours that divide a day, such as 6h; got"):
        step_length(text)


def test_four_samples_make_a_day():
    steps = lay_steps(every(6, 12), DAY, average=False)
    assert_array_equal(steps.starts, np.array(["1979-01-01", "1979-01-02", "1979-01-03"], "M8[D]"))
    assert steps.starts.dtype == np.dtype("datetime64[D]")
    assert_array_equal(steps.step_of_sample, np.repeat([0, 1, 2], 4))
    assert (steps.samples_per_step, steps.spacing) == (4, np.timedelta64(6, "h"))


def test_steps_of_hours_begin_at_midnight():
    steps = lay_steps(every(1, 48), np.timedelta64(6, "h"), average=False)
    assert steps.starts.dtype == np.dtype("datetime64[h]")
    assert len(steps.starts) == 8
    assert steps.starts[1] == np.datetime64("1979-01-01T06")
    assert steps.samples_per_step == 6
    whole = lay_steps(every(6, 5), np.timedelta64(6, "h"), average=False)
    assert_array_equal(whole.step_of_sample, range(5))


def test_daily_samples_may_be_at_noon():
    steps = lay_steps(every(24, 3, first="1979-01-01T12"), DAY, average=False)
    assert_array_equal(steps.step_of_sample, [0, 1, 2])
    assert steps.starts[0] == np.datetime64("1979-01-01")


def test_steps_of_several_days_begin_at_the_first():
    steps = lay_steps(every(24, 10, first="1979-01-03T00"), 5 * DAY, average=False)
    assert_array_equal(steps.starts, np.array(["1979-01-03", "1979-01-08"], "M8[D]"))
    assert_array_equal(steps.step_of_sample, np.repeat([0, 1], 5))


def test_a_last_step_that_is_not_whole_says_where_to_end():
    with pytest.raises(ConfigError, match=r"1 steps do not have 5 .*data\.last_day=1979-01-10, or"):
        lay_steps(every(24, 12), 5 * DAY, average=False)
    steps = lay_steps(every(24, 12), 5 * DAY, average=True)
    assert_array_equal(np.bincount(steps.step_of_sample), [5, 5, 2])
    assert steps.samples_per_step == 5


def test_steps_that_are_not_whole_are_named_or_averaged():
    times = np.delete(every(6, 20), [0, 13])
    message = r"2 days do not have 4 samples each: 1979-01-01, 1979-01-04; leave .*=average"
    with pytest.raises(ConfigError, match=message):
        lay_steps(times, DAY, average=False)
    steps = lay_steps(times, DAY, average=True)
    assert_array_equal(np.bincount(steps.step_of_sample), [3, 4, 4, 3, 4])


@pytest.mark.parametrize("average", [False, True])
def test_whole_steps_that_are_missing_are_always_named(average):
    times = every(24, 9)[[0, 1, 2, 5, 6, 8]]
    with pytest.raises(ConfigError, match=r"lacks 3 days: 1979-01-04, 1979-01-05, 1979-01-08$"):
        lay_steps(times, DAY, average)
    times = np.delete(every(6, 40), range(1, 39))
    with pytest.raises(
        ConfigError, match=r"samples are 234 hours apart, further than data.step 1 d"
    ):
        lay_steps(times, DAY, average)


def test_a_long_list_is_cut_short():
    times = np.delete(every(24, 40), range(3, 10))
    with pytest.raises(ConfigError, match=r"lacks 7 days: (1979-01-0\d, ){4}1979-01-08 …$"):
        lay_steps(times, DAY, average=False)


def test_samples_too_far_apart_or_across_steps():
    with pytest.raises(ConfigError, match=r"are 7 days apart, further than data.step 1 day: set"):
        lay_steps(every(168, 5), DAY, average=True)
    with pytest.raises(ConfigError, match=r"are 5 hours apart, which does not divide data.step"):
        lay_steps(every(5, 30), DAY, average=False)


def test_one_sample_makes_one_step():
    steps = lay_steps(every(6, 1), DAY, average=False)
    assert (len(steps.starts), steps.samples_per_step) == (1, 1)


def test_lengths_in_words():
    assert [span(np.timedelta64(hours, "h")) for hours in (1, 6, 24, 168)] == [
        "1 hour",
        "6 hours",
        "1 day",
        "7 days",
    ]


def test_means_by_hand():
    means = StepMeans((2, 3), skip_missing=False)
    means.add(np.array([0, 0]), np.array([[1, 2, np.nan], [3, 4, 5]], np.float32))
    means.add(np.array([1]), np.array([[7, 8, 9]], np.float32))
    assert means.result().dtype == np.float32
    assert_allclose(means.result(), [[2, 3, np.nan], [7, 8, 9]])


def test_means_of_what_is_there():
    means = StepMeans((2, 3), skip_missing=True)
    means.add(np.array([0, 0]), np.array([[1, 2, np.nan], [3, np.nan, np.nan]]))
    means.add(np.array([1]), np.array([[7, 8, 9]]))
    assert_allclose(means.result(), [[2, 2, np.nan], [7, 8, 9]])


def test_blocks_do_not_change_a_bit():
    rng = np.random.default_rng(0)
    values, step_S = rng.standard_normal((24, 5, 3)).astype(np.float32), np.repeat([0, 1, 2], 8)
    results = []
    for cuts in ([24], [1, 10, 24], range(1, 25)):
        means, start = StepMeans((3, 5, 3), skip_missing=False), 0
        for cut in cuts:
            means.add(step_S[start:cut], values[start:cut])
            start = cut
        results.append(means.result())
    assert_array_equal(results[0], results[1])
    assert_array_equal(results[0], results[2])
