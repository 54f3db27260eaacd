import pytest

from sparta_ray.base.durations import DAY, StepLength
from sparta_ray.base.errors import ConfigError


def test_steps_in_real_time():
    six_hours, five_days = StepLength.of("6h"), StepLength.of("5d")
    assert [six_hours.lasting(steps) for steps in (1, 4, 5, 100)] == [
        "6 hours", "1 day", "30 hours", "25 days"
    ]  # fmt: skip
    assert five_days.lasting(3) == "15 days"
    assert [DAY.lasting(steps) for steps in (1, 25)] == ["1 day", "25 days"]
    assert StepLength.of("24h") == StepLength.of("1d") == DAY


def test_what_steps_are_called():
    assert DAY.worded("from {step} to {step}, {steps}") == "from day to day, days"
    assert StepLength(6).worded("from {step} to {step}, {steps}") == "from step to step, steps"
    assert [DAY.counted(n) for n in (1, 1461)] == ["1 day", "1,461 days"]
    assert StepLength(6).counted(1461) == "1,461 steps of 6 hours"
    assert StepLength(120).counted(73) == "73 steps of 5 days"


def test_axes_count_hours_below_a_day_and_else_days():
    assert [(s.unit, s.in_units(4)) for s in map(StepLength, (6, 24, 120))] == [
        ("hours", 24), ("days", 4), ("days", 20)
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["5h", "day", "0d"])
def test_a_step_that_is_none(text):
    with pytest.raises(ConfigError, match="a step is"):
        StepLength.of(text)
