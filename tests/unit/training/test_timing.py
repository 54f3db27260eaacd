import time

import pytest
import torch

from sparta_ray.training.timing import PARTS, StepClock


def test_laps_leave_no_time_out_and_tell_what_goes_on():
    clock, began = StepClock(torch.device("cpu")), time.perf_counter()
    seen = []
    for part in PARTS:
        seen.append(clock.part)
        time.sleep(0.02 if part == "forward" else 0.002)
        clock.lap(part)
    took = time.perf_counter() - began
    seconds = clock.take()
    assert seen == list(PARTS)
    assert clock.part == "wait"
    assert max(seconds, key=seconds.get) == "forward"
    assert sum(seconds.values()) == pytest.approx(took, abs=2e-3)
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
