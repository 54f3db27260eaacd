"""The job, submitted to a Ray head that asks for a token."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RAY = [sys.executable, "-m", "ray.scripts.scripts"]

pytestmark = pytest.mark.timeout(600)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A head on loopback, with token authentication; yields the submitter's environment.

    Its jobs keep what they make under a relative path in ``SPARTA_HOME``.
    """
    folder = tmp_path_factory.mktemp("head")
    token = folder / "token"
    token.write_text("a-token-of-this-test-" + "0" * 32)
    dashboard = free_port()
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}",
        "SPARTA_HOME": str(folder / "home"),
        "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "180",  # its own 60 are short beside other tests
    }
    environment.pop("RAY_ADDRESS", None)
    with (folder / "head.log").open("w") as log:
        process = subprocess.Popen(
            [
                *RAY, "start", "--head", "--block", "--num-cpus=2",
                "--node-ip-address=127.0.0.1", f"--port={free_port()}",
                "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}",
                f"--dashboard-agent-listen-port={free_port()}", "--object-store-memory=300000000",
            ],
            env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        wait_for_jobs(environment, folder / "head.log")
        yield environment
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # a clean end takes half a minute
        process.wait(timeout=30)


def wait_for_jobs(environment: dict[str, str], log: Path) -> None:
    """Wait until a job runs, which is later than when the head answers."""
    deadline = time.monotonic() + 240
    while ray_job(environment, "submit", "--", "true").returncode != 0:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(1)


def ray_job(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*RAY, "job", *arguments], env=environment, cwd=ROOT, text=True, timeout=500,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def submit(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return ray_job(
        environment, "submit", "--working-dir", ".", "--", "python", "jobs/train_sparta.py",
        *arguments,
    )  # fmt: skip


SHORT = ("--set", "training.stages=[{kind: autoencoder, epochs: 1}]", "--until", "train")


def test_a_submitted_job_prepares_and_trains(head: dict[str, str]) -> None:
    done = submit(head, "--config", "conf/smoke.yaml", *SHORT)
    assert done.returncode == 0, done.stdout
    run = Path(head["SPARTA_HOME"]) / "runs/smoke"
    job = done.stdout.partition("Running entrypoint")[2]  # before it, the submitter speaks
    lines = job.splitlines()
    assert (run / "models/autoencoder/weights.safetensors").exists()
    assert any(line.startswith("train 1/1 autoencoder") for line in lines)
    quiet = [line for line in lines if not line.startswith(("prepare", "train"))]
    assert len(quiet) < 40, done.stdout


def test_a_job_that_cannot_run_fails_with_its_reason(head: dict[str, str]) -> None:
    refused = submit(head, "--set", "sampling.min_soft_days=5000")
    assert refused.returncode != 0
    assert "set sampling.min_soft_days to at most" in refused.stdout


def test_without_the_token_nothing_is_accepted(head: dict[str, str]) -> None:
    stranger = head | {"RAY_AUTH_MODE": "disabled"}
    refused = ray_job(stranger, "list")
    assert refused.returncode != 0
    assert "401" in refused.stdout or "nauthorized" in refused.stdout
