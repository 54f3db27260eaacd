import time

import pytest
import torch

from sparta_ray.training.timing import PARTS, StepClock


def test_laps_leave_no_time_out_and_tell_what_goes_on():
    before = time.perf_counter()
    clock = StepClock(torch.device("cpu"))
    began, seen = time.perf_counter(), []
    for part in PARTS:
        seen.append(clock.part)
        time.sleep(0.02 if part == "forward" else 0.002)
        ended = time.perf_counter()
        clock.lap(part)
    after = time.perf_counter()
    seconds = clock.take()
    assert seen == list(PARTS)
    assert clock.part == "wait"
    assert seconds["forward"] > 0.019
    assert ended - began <= sum(seconds.values()) <= after - before
    assert set(clock.take().values()) == {0.0}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_its_own_time_counts():
    clock = StepClock(torch.device("cuda"))
    clock.lap("wait")
    x = torch.randn(4096, 4096, device="cuda")
    for _ in range(20):
        x = x @ x / 4096
    clock.lap("forward")
    torch.cuda.synchronize()
    seconds = clock.take()
    assert seconds["forward"] > 1e-3
    assert seconds["backward"] == 0
