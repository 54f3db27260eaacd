"""Jobs as a user starts them, and their processes, to be killed."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PATIENCE = 300.0
"""Seconds that anything may take on a busy machine."""

Record = dict[str, Any]


@dataclass
class Job:
    """One training command, which may be given again and again.

    Attributes:
        folder: Of its runs and its store.
        name: Of its run.
        settings: Changes to ``conf/smoke.yaml``.
        environment: Of the command and all processes that come of it.
    """

    folder: Path
    name: str
    settings: tuple[str, ...]
    environment: dict[str, str]
    process: "subprocess.Popen[str] | None" = field(default=None)

    def start(self, *more: str) -> None:
        changes = (
            f"name={self.name}",
            f"folder={self.folder}/runs",
            f"data.store={self.folder}/store.zarr",
            *self.settings,
        )
        command = [sys.executable, "jobs/train_sparta.py", "--config", "conf/smoke.yaml"]
        command += [part for change in changes for part in ("--set", change)]
        self.process = subprocess.Popen(
            [*command, "--until", "train", *more], cwd=ROOT, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def end(self) -> tuple[int, str]:
        """Wait for the command; return its status and what it printed."""
        assert self.process is not None
        output, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, output

    def run(self, *more: str) -> tuple[int, str]:
        self.start(*more)
        return self.end()

    def history(self) -> list[Record]:
        """Return the whole records that training has written so far."""
        file = self.folder / "runs" / self.name / "metrics.jsonl"
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def steps(self) -> list[Record]:
        return [record for record in self.history() if record["event"] == "step"]

    def wait_for(self, condition: Callable[[], bool]) -> bool:
        """Return whether something came to be before the command ended."""
        assert self.process is not None
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if self.process.poll() is not None:
                return False
            assert time.monotonic() < deadline, f"waited in vain; history: {self.history()[-3:]}"
            time.sleep(0.01)
        return True

    def processes(self, named: str) -> list[int]:
        """Return the processes that came of the command and bear a name."""
        mark, found = self.environment["JOB_MARK"].encode(), []
        for process in Path("/proc").iterdir():
            if not process.name.isdigit():
                continue
            try:
                ours = mark in (process / "environ").read_bytes()
                if ours and named.encode() in (process / "cmdline").read_bytes():
                    found.append(int(process.name))
            except OSError:  # it has ended meanwhile
                continue
        return sorted(found)


@pytest.fixture
def join(make_job: Callable[..., "Job"]) -> Iterator[Callable[["Job", int], Cluster]]:
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
