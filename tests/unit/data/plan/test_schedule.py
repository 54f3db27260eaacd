import pytest

from sparta_ray.data.plan.schedule import Schedule, ScheduledBatch


def test_two_epochs_by_hand():
    schedule = Schedule(epochs=2, train_steps=3, validation_steps=2)
    assert (len(schedule), schedule.epoch_length) == (10, 5)
    assert [schedule.batch_at(position) for position in range(10)] == [
        ScheduledBatch("train", epoch=0, plan=0, step=0, ends_split=False),
        ScheduledBatch("train", epoch=0, plan=0, step=1, ends_split=False),
        ScheduledBatch("train", epoch=0, plan=0, step=2, ends_split=True),
        ScheduledBatch("validation", epoch=0, plan=0, step=0, ends_split=False),
        ScheduledBatch("validation", epoch=0, plan=0, step=1, ends_split=True),
        ScheduledBatch("train", epoch=1, plan=1, step=0, ends_split=False),
        ScheduledBatch("train", epoch=1, plan=1, step=1, ends_split=False),
        ScheduledBatch("train", epoch=1, plan=1, step=2, ends_split=True),
        ScheduledBatch("validation", epoch=1, plan=1, step=0, ends_split=False),
        ScheduledBatch("validation", epoch=1, plan=1, step=1, ends_split=True),
    ]


def test_epochs_that_end_within_a_plan_by_hand():
    # plans of 3 batches, epochs of 4 or of 2: the batches follow each other all the same
    plans = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]
    for epochs, steps in ((2, 4), (4, 2)):
        schedule = Schedule(epochs, train_steps=steps, validation_steps=1, plan_steps=3)
        units = [schedule.batch_at(position) for position in range(len(schedule))]
        training = [unit for unit in units if unit.split == "train"]
        assert [(unit.plan, unit.step) for unit in training] == plans
        assert [unit.epoch for unit in training] == [n // steps for n in range(8)]
        assert [unit.ends_split for unit in training] == [n % steps == steps - 1 for n in range(8)]
        validation = [unit for unit in units if unit.split == "validation"]
        assert validation == [ScheduledBatch("validation", n, n, 0, True) for n in range(epochs)]


def test_single_steps_end_their_split():
    schedule = Schedule(epochs=1, train_steps=1, validation_steps=1)
    assert schedule.batch_at(0) == ScheduledBatch("train", epoch=0, plan=0, step=0, ends_split=True)
    assert schedule.batch_at(1) == ScheduledBatch(
        "validation", epoch=0, plan=0, step=0, ends_split=True
    )


@pytest.mark.parametrize("position", [-1, 10])
def test_there_is_nothing_beyond_the_schedule(position):
    with pytest.raises(AssertionError):
        Schedule(epochs=2, train_steps=3, validation_steps=2).batch_at(position)
