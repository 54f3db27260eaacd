"""A run killed at ten random steps, in every way, has the losses of one that nothing befell."""

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sparta_ray.training.model_card import load_model
from tests.job import Job, Record

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

STAGES = (
    "training.stages=[{kind: pretrain, epochs: 2, lr: 1e-3}, {kind: joint, epochs: 2, lr: 1e-3}, "
    "{kind: decode, epochs: 2, lr: 1e-3}, {kind: autoencoder, epochs: 1, lr: 1e-3}]"
)
SETTINGS = (
    STAGES,
    "training.checkpoint_every_steps=8",
    "training.report_seconds=0",
    "scaling.max_failures=10",
)
STEPS = 15  # of an epoch
TOTAL = 7 * STEPS
WAYS = ["worker SIGKILL"] * 3 + ["worker os._exit"] * 3 + [
    "driver SIGKILL", "driver SIGKILL", "raylet SIGKILL", "driver SIGTERM"
]  # fmt: skip
NOT_COMPARED = ("time", "rows_per_second")


def numbers(record: Record) -> Record:
    """Return what must not depend on when, or after what, it was computed."""
    return {
        name: value
        for name, value in record.items()
        if name not in NOT_COMPARED and not name.endswith("_share")
    }


@pytest.fixture(scope="module")
def unbroken(make_job: Callable[..., Job]) -> Job:
    job = make_job("unbroken", *SETTINGS)
    status, output = job.run()
    assert status == 0, output
    return job


def kill(job: Job, way: str) -> None:
    target, how = way.split()
    assert job.process is not None
    if how == "os._exit":
        (worker,) = job.processes("RayTrainWorker")
        (job.folder / f"exit-{worker}").touch()
        return
    named = {"worker": "RayTrainWorker", "raylet": "raylet/raylet"}
    process = job.process.pid if target == "driver" else job.processes(named[target])[0]
    os.kill(process, signal.SIGTERM if how == "SIGTERM" else signal.SIGKILL)


def test_killed_ten_times_the_whole_curve_is_the_unbroken_one(
    make_job: Callable[..., Job], unbroken: Job
) -> None:
    job, draw = make_job("killed", *SETTINGS), random.Random(4)
    ways = draw.sample(WAYS, len(WAYS))
    places = sorted(draw.sample(range(2, TOTAL - 6), len(ways)))
    job.start()
    began = 1
    for place, way in zip(places, ways, strict=True):
        while not job.wait_for(lambda place=place: done(job) >= place):
            status, output = job.end()
            assert status != 0, f"it ended before step {place}: {output}"
            job.start()
            began += 1
        seen = len(job.history())
        kill(job, way)
        if way.startswith("worker"):
            assert job.wait_for(lambda seen=seen: begins(job, seen)), job.end()
    while (ended := job.end())[0] != 0:
        assert began < 12, ended[1]
        job.start()
        began += 1
    compare(job, unbroken)
    starts = [record for record in job.history() if record["event"] == "start"]
    assert len(starts) >= len(ways)
    assert began >= 1 + sum(not way.startswith("worker") for way in ways)


def done(job: Job) -> int:
    """Return how many steps of all stages are behind the last record."""
    steps = job.steps()
    if not steps:
        return 0
    before = {"pretrain": 0, "joint": 2, "decode": 4, "autoencoder": 6}
    return STEPS * before[steps[-1]["stage"]] + steps[-1]["position"]


def begins(job: Job, seen: int) -> bool:
    """Return whether a worker has begun again since then, and made a step."""
    events = [record["event"] for record in job.history()[seen:]]
    return "start" in events and "step" in events[events.index("start") :]


def compare(job: Job, unbroken: Job) -> None:
    """Every record, those of repeated steps too, is the unbroken run's; and so are the models."""
    for event, key in (("step", "position"), ("epoch", "epoch"), ("health", "epoch")):
        expected = {
            (r["stage"], r[key]): numbers(r) for r in unbroken.history() if r["event"] == event
        }
        ours = [r for r in job.history() if r["event"] == event]
        assert {(r["stage"], r[key]) for r in ours} == expected.keys()
        for record in ours:
            assert numbers(record) == expected[record["stage"], record[key]]
    assert len({(r["stage"], r["position"]) for r in job.steps()}) == TOTAL
    for kind in ("sparta", "autoencoder"):
        weights = [
            load_model(str(j.folder / "runs" / j.name / "models" / kind))[1].state_dict()
            for j in (job, unbroken)
        ]
        for name, weight in weights[0].items():
            assert torch.equal(weight, weights[1][name])


def test_a_finished_run_says_so_and_another_is_refused(unbroken: Job) -> None:
    before = len(unbroken.history())
    status, output = unbroken.run()
    assert status == 0
    assert "train: finished before; its models are in" in output
    status, output = unbroken.run("--set", "seed=1")
    assert status == 2
    assert "seed: 0 -> 1" in output
    assert "--allow-changed-config" in output
    assert len(unbroken.history()) == before


def test_a_damaged_checkpoint_is_named_and_the_one_before_may_be_taken(
    make_job: Callable[..., Job], unbroken: Job
) -> None:
    job = make_job("damaged", *SETTINGS)
    job.start()
    assert job.wait_for(lambda: done(job) >= 22)
    kill(job, "driver SIGTERM")
    assert job.end()[0] == 130
    *_, newest = sorted(Path(job.folder, "runs/damaged/checkpoints").glob("checkpoint_stage*"))
    state = newest / "state.pt"
    state.write_bytes(state.read_bytes()[:-1000])
    status, output = job.run()
    assert status == 2
    assert f"{newest.name}" in output
    assert "--allow-older-checkpoint" in output
    status, output = job.run("--allow-older-checkpoint")
    assert status == 0, output
    compare(job, unbroken)
