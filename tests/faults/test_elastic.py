"""A run whose cluster grows and shrinks has the losses of one that stays as it is."""

import subprocess
import sys
from collections.abc import Callable

import pytest
from ray.cluster_utils import Cluster

from sparta_ray.on_ray.spot_notice import NOTICE_SECONDS
from tests.job import Job
from tests.metadata import FakeMetadata

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

# A tiny network's contrastive loss multiplies roundings by ten a step, in float64 too; the
# autoencoder's does not, and its batch norm spans the workers as well.
SETTINGS = (
    "training.stages=[{kind: autoencoder, epochs: 400, lr: 1e-5}]",
    "training.precision=float64",
    "training.checkpoint_every_steps=10",
    "training.report_seconds=0",
    "scaling.resize_seconds=1",
)
UNASKED = ("training.checkpoint_every_steps=null", "training.checkpoint_every_epochs=400")
"""Changes to the above after which no checkpoint is due."""


def ranks(job: Job) -> list[int]:
    """Return how many ranks each start had."""
    return [record["ranks"] for record in job.history() if record["event"] == "start"]


def test_a_node_added_and_lost(
    make_job: Callable[..., Job], join: Callable[[Job, int], Cluster]
) -> None:
    job = make_job("elastic", *SETTINGS, "scaling.num_workers=[1, 2]")
    cluster = join(job, 2)  # room for one worker and its builder
    job.start()
    assert job.wait_for(lambda: len(job.steps()) > 12), job.end()
    added = cluster.add_node(num_cpus=2, object_store_memory=100 * 2**20)
    assert job.wait_for(lambda: ranks(job)[-1] == 2 and steps_since_start(job) > 12), job.end()
    cluster.remove_node(added, allow_graceful=False)
    assert job.wait_for(lambda: ranks(job)[-1] == 1 and steps_since_start(job) > 12), job.end()
    assert job.process is not None
    job.process.terminate()
    status, output = job.end()
    assert status == 130, output
    assert ranks(job) == [1, 2, 1]

    last = max(record["position"] for record in job.steps())
    unbroken = make_job("steady", *SETTINGS)
    unbroken.start()
    assert unbroken.wait_for(
        lambda: bool(unbroken.steps()) and unbroken.steps()[-1]["position"] >= last
    )
    unbroken.process.terminate()
    assert unbroken.end()[0] == 130
    expected = {record["position"]: record for record in unbroken.steps()}
    for record in job.steps():
        theirs = expected[record["position"]]
        assert record.keys() == theirs.keys()
        for name in record.keys() & {"loss", "reconstruction", "gradient_norm"}:
            assert record[name] == pytest.approx(theirs[name], rel=1e-5)
    assert {record["position"] for record in job.steps()} == set(range(1, last + 1))


def steps_since_start(job: Job) -> int:
    events = [record["event"] for record in job.history()]
    return events[::-1].index("start") if "start" in events else 0


def test_a_fixed_run_waits_for_the_node_that_it_lost(
    make_job: Callable[..., Job], join: Callable[[Job, int], Cluster]
) -> None:
    job = make_job("fixed", *SETTINGS, "scaling.num_workers=2", "scaling.cpus_per_worker=2")
    cluster = join(job, 3)  # room for one worker and its builder
    lost = cluster.add_node(num_cpus=3, object_store_memory=100 * 2**20)
    job.start()
    assert job.wait_for(lambda: len(job.steps()) > 40), job.end()
    cluster.remove_node(lost, allow_graceful=False)
    assert job.process is not None
    assert job.process.stdout is not None
    said = next((line for line in job.process.stdout if "waits for machines" in line), None)
    assert said is not None, job.end()
    assert "6 CPUs" in said
    cluster.add_node(num_cpus=3, object_store_memory=100 * 2**20)
    assert job.wait_for(lambda: len(ranks(job)) == 2 and steps_since_start(job) > 12), job.end()
    job.process.terminate()
    assert job.end()[0] == 130
    starts = [record["position"] for record in job.history() if record["event"] == "start"]
    assert starts[0] == 0 < starts[1]


def test_a_node_with_notice_is_left_with_a_checkpoint(
    make_job: Callable[..., Job], join: Callable[[Job, int], Cluster]
) -> None:
    """The metadata server tells the watcher, the watcher Ray, and Ray the ranks; then it goes."""
    job = make_job("noticed", *SETTINGS, *UNASKED, "scaling.num_workers=[1, 2]")
    cluster = join(job, 2)
    leaving = cluster.add_node(num_cpus=2, object_store_memory=100 * 2**20)
    job.start()
    assert job.wait_for(lambda: bool(ranks(job)) and ranks(job)[-1] == 2), job.end()
    assert job.wait_for(lambda: steps_since_start(job) > 40), job.end()
    with FakeMetadata().serving() as metadata:
        watch = [
            sys.executable, "-m", "sparta_ray.on_ray.spot_notice",
            "--address", cluster.address, "--node-id", leaving.node_id,
        ]  # fmt: skip
        environment = job.environment | {"GCE_METADATA_HOST": metadata.host}
        with subprocess.Popen(watch, env=environment, stdout=subprocess.PIPE) as watching:
            assert watching.stdout is not None
            assert leaving.node_id in watching.stdout.readline().decode()
            metadata.taken.set()
            card = "runs/noticed/checkpoints/checkpoint_*/state.json"
            assert job.wait_for(lambda: any(job.folder.glob(card)), NOTICE_SECONDS), job.end()
            assert watching.wait(10) == 0
    cluster.remove_node(leaving, allow_graceful=False)
    assert job.wait_for(lambda: ranks(job)[-1] == 1 and steps_since_start(job) > 3), job.end()
    assert job.process is not None
    job.process.terminate()
    assert job.end()[0] == 130
    starts = [record["position"] for record in job.history() if record["event"] == "start"]
    assert starts[0] == 0 < starts[-1]
