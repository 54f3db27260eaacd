"""What stops without dying ends the run with an error that names it."""

import os
import signal
from collections.abc import Callable

import pytest
from ray.cluster_utils import Cluster

from tests.job import Job

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

SETTINGS = (
    "training.stages=[{kind: pretrain, epochs: 300, lr: 1e-4}]",
    "training.report_seconds=0",
    "training.stall_seconds=30",
)


def stop_one(job: Job, named: str) -> tuple[int, str]:
    """Stop a process of a job in training; return it, and what the command then said."""
    job.start()
    assert job.wait_for(lambda: len(job.steps()) > 3), job.end()
    process = job.processes(named)[-1]
    os.kill(process, signal.SIGSTOP)
    try:
        status, output = job.end()
    finally:
        if process in job.processes(named):
            os.kill(process, signal.SIGKILL)
    assert status == 2, output
    return process, output


def test_a_stopped_rank_is_named(
    make_job: Callable[..., Job], join: Callable[[Job, int], Cluster]
) -> None:
    job = make_job("stopped-rank", *SETTINGS, "scaling.num_workers=2")
    join(job, 4)
    process, output = stop_one(job, "RayTrainWorker")
    first, *lines = output[output.index("error: no rank finished a batch for") :].splitlines()
    assert first.endswith(" stopped, or cannot be reached")
    rank = int(first.split("rank ")[-1].split()[0])
    other, stopped = sorted(lines[:2], key=lambda line: f"rank {rank} (process" in line)
    assert f"(process {process} on " in stopped
    assert "is silent for" in stopped
    assert "waits there for other ranks" in other


def test_a_builder_that_hangs_is_named(make_job: Callable[..., Job]) -> None:
    _, output = stop_one(make_job("stopped-builder", *SETTINGS), "MapWorker")
    assert "error: no rank finished a batch for" in output
    assert "the builders of rank 0 deliver no batch" in output
    assert "of pretrain, waits for its batch (its data queue is empty)" in output
