import pytest

from sparta_ray.data.schedule import Schedule, Unit


def test_two_epochs_by_hand():
    schedule = Schedule(epochs=2, train_steps=3, validation_steps=2)
    assert (len(schedule), schedule.epoch_length) == (10, 5)
    assert [schedule.unit_at(position) for position in range(10)] == [
        Unit("train", 0, 0, False),
        Unit("train", 0, 1, False),
        Unit("train", 0, 2, True),
        Unit("validation", 0, 0, False),
        Unit("validation", 0, 1, True),
        Unit("train", 1, 0, False),
        Unit("train", 1, 1, False),
        Unit("train", 1, 2, True),
        Unit("validation", 1, 0, False),
        Unit("validation", 1, 1, True),
    ]


def test_single_steps_end_their_split():
    schedule = Schedule(epochs=1, train_steps=1, validation_steps=1)
    assert schedule.unit_at(0) == Unit("train", 0, 0, True)
    assert schedule.unit_at(1) == Unit("validation", 0, 0, True)


@pytest.mark.parametrize("position", [-1, 10])
def test_there_is_nothing_beyond_the_schedule(position):
    with pytest.raises(AssertionError):
        Schedule(epochs=2, train_steps=3, validation_steps=2).unit_at(position)
