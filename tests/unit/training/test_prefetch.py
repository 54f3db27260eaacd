"""Batches taken ahead: all of them, in order, and what became of them on the way."""

import threading

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from sparta_ray.training.prefetch import Prefetcher

CPU = torch.device("cpu")


def batch(number):
    return {"position": np.full(4, number), "day": np.full((4, 3, 5, 2), number, np.float16)}


def test_batches_come_in_order_and_unchanged():
    batches = [batch(n) for n in range(6)]
    with Prefetcher(iter(batches), CPU, torch.float32) as taken:
        for n, (came, arrive) in enumerate(taken):
            assert came is batches[n]
            assert_close(arrive()["day"], torch.full((4, 3, 5, 2), float(n)))
    assert n == 5


def test_an_error_on_the_way_is_raised_where_batches_are_taken():
    def broken():
        yield batch(0)
        raise OSError("the disk")

    with Prefetcher(broken(), CPU, torch.float32) as taken:
        arrived = iter(taken)
        next(arrived)
        with pytest.raises(OSError, match="the disk"):
            taken.is_late(60)
        with pytest.raises(OSError, match="the disk"):
            next(arrived)


def test_late_is_what_has_not_come_and_nothing_is_lost_by_asking():
    goes_on = threading.Event()

    def slow():
        yield batch(0)
        goes_on.wait()
        yield batch(1)

    with Prefetcher(slow(), CPU, torch.float32) as taken:
        arrived, came = iter(taken), []
        assert not taken.is_late(60)
        came.append(next(arrived)[0])
        assert taken.is_late(0.01)
        assert taken.is_late(0.01)
        goes_on.set()
        assert not taken.is_late(60)
        assert not taken.is_late(60)
        came += [each for each, _ in arrived]
        assert not taken.is_late(60)  # there is no next one, and none is to come
    assert [each["position"][0] for each in came] == [0, 1]


def test_nothing_more_is_taken_when_training_has_ended():
    taken, left = [], threading.Event()

    def endless():
        try:
            while True:
                taken.append(len(taken))
                yield batch(len(taken))
        finally:
            left.set()

    with Prefetcher(endless(), CPU, torch.float32) as ahead:
        next(iter(ahead))
    assert left.wait(60)
    assert len(taken) <= 4
