"""Jobs as a user starts them, and their processes, to be killed."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from tests.job import ROOT, Job

HERE = Path(__file__).parent


@pytest.fixture
def join(make_job: Callable[..., Job]) -> Iterator[Callable[[Job, int], Cluster]]:
    """Return a function that lets a job join a new cluster of one node with so many CPUs."""
    saved, clusters = dict(os.environ), []

    def join(job: Job, cpus: int) -> Cluster:
        os.environ.update(job.environment)  # the nodes' processes inherit it
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        clusters.append((job, cluster))
        cluster.add_node(num_cpus=cpus, object_store_memory=100 * 2**20)
        job.environment["RAY_ADDRESS"] = cluster.address
        return cluster

    yield join
    for job, cluster in clusters:
        if job.process is not None and job.process.poll() is None:
            job.process.kill()
        cluster.shutdown()
    os.environ.clear()
    os.environ.update(saved)


@pytest.fixture(scope="session")
def make_job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Job]]:
    """Return a function that makes jobs, all of one store."""
    folder, started = tmp_path_factory.mktemp("jobs"), []
    sockets = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # their paths must be short

    def make(name: str, *settings: str, **environment: str) -> Job:
        variables = {
            "PYTHONPATH": f"{ROOT}:{HERE / 'every_process'}",
            "RAY_TMPDIR": sockets,
            "RAY_memory_monitor_refresh_ms": "0",
            "JOB_MARK": uuid.uuid4().hex,
            "EXITS": str(folder),
        }
        job = Job(folder, name, settings, os.environ | variables | environment)
        started.append(job)
        return job

    yield make
    for job in started:
        if job.process is not None and job.process.poll() is None:
            job.process.kill()
    shutil.rmtree(sockets, ignore_errors=True)
