"""A cluster of two nodes, brought up over ssh from `cluster/local.yaml` and used as a lab would.

The nodes are two loopback addresses of this machine behind a real sshd, with keys, configuration
and a home of their own. (Not 127.0.0.1, which Ray replaces by the machine's outer address.) Runs
and store lie in a bucket, as for nodes that share no disk.
"""

import getpass
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.gcs import FakeGCS

ROOT = Path(__file__).parents[2]
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
HEAD, WORKER = "127.0.0.2", "127.0.0.3"
SHORT = (
    "--set", "training.stages=[{kind: pretrain, epochs: 10}, {kind: autoencoder, epochs: 1}]",
    "--set", "training.checkpoint_every_epochs=100",
    "--set", "downstream.seeds=[0, 1]", "--set", "downstream.diffusion=null",
)  # fmt: skip
HOLDS_TWO_CPUS = """
import os, ray, sys, time

@ray.remote(num_cpus=2)
def hold(path):
    while os.path.exists(path):
        time.sleep(0.2)

ray.get(hold.remote(sys.argv[1]))
"""
TOKEN = "a-token-of-this-test-" + "0" * 32

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        not (shutil.which("sshd", path="/usr/sbin:/usr/bin") and shutil.which("rsync")),
        reason="needs openssh-server and rsync (Debian: apt install openssh-server rsync)",
    ),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Lab:
    """A running cluster, and the environment of who submits to it."""

    folder: Path
    environment: dict[str, str]

    @property
    def run(self) -> Path:
        """The files behind ``gs://lab/runs/smoke``."""
        return self.folder / "lab/runs/smoke"

    def ray(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*RAY, *arguments], env=self.environment | environment, cwd=ROOT, text=True,
            timeout=600, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def submit(
        self, job: str, *more: str, options: tuple[str, ...] = ()
    ) -> "subprocess.CompletedProcess[str]":
        """Submit a job of the smoke run, whose runs and store lie in the bucket."""
        return self.ray(*submission(job, *more, options=options))

    def job(self, path: str) -> dict[str, str]:
        """Ask the jobs API, which answers sooner than the command line starts."""
        return dict(self._ask(path))

    def _ask(self, path: str) -> Any:
        request = urllib.request.Request(
            f"{self.environment['RAY_API_SERVER_ADDRESS']}/api/jobs/{path}",
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def has(self, job: str) -> bool:
        return job in [each["submission_id"] for each in self._ask("")]

    def logs(self, job: str) -> str:
        return self.job(f"{job}/logs")["logs"]

    def status(self, job: str) -> str:
        return self.job(job)["status"]

    def wait_for(self, job: str, condition: Callable[[], bool], seconds: float) -> None:
        """Wait for something that a job does, and no longer than it lives."""
        deadline = time.monotonic() + seconds
        while not condition():
            late = time.monotonic() > deadline
            assert not late, self.logs(job)
            assert self.status(job) not in ("FAILED", "STOPPED"), self.logs(job)
            time.sleep(1)

    def metrics(self) -> str:
        """Return what Prometheus would collect from all nodes."""
        found = json.loads((self.folder / "head/prom_metrics_service_discovery.json").read_text())
        texts = []
        for target in (target for group in found for target in group["targets"]):
            with urllib.request.urlopen(f"http://{target}/metrics", timeout=30) as answer:
                texts.append(answer.read().decode())
        return "\n".join(texts)

    def history(self) -> list[dict[str, Any]]:
        """Return the whole records that training has written so far."""
        history = self.run / "metrics.jsonl"
        lines = history.read_text().splitlines(keepends=True) if history.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def processes(self, of: str = "") -> list[int]:
        """Return the processes that run in the lab's home, of a node if one is named."""
        home, found = f"HOME={self.folder}/home".encode(), []
        for process in Path("/proc").iterdir():
            if not process.name.isdigit():
                continue
            try:
                ours = home in (process / "environ").read_bytes().split(b"\0")
                if ours and of.encode() in (process / "cmdline").read_bytes():
                    found.append(int(process.name))
            except OSError:  # it has ended meanwhile
                continue
        return found

    def kill(self, of: str = "") -> int:
        """Kill these processes at once; return how many there were."""
        processes = self.processes(of)
        for process in processes:
            with suppress(ProcessLookupError):  # it has ended with another
                os.kill(process, signal.SIGKILL)
        return len(processes)


def submission(job: str, *more: str, options: tuple[str, ...] = ()) -> list[str]:
    """Return the arguments of `ray` that submit a job of the smoke run."""
    return [
        "job", "submit", "--working-dir", ".", *options, "--", "python", f"jobs/{job}",
        "--config", "conf/smoke.yaml", "--set", "folder=gs://lab/runs",
        "--set", "data.store=gs://lab/store.zarr", *SHORT, *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """The cluster of `cluster/local.yaml`, up; its sockets need a short path."""
    folder = Path(tempfile.mkdtemp(prefix="lab", dir="/tmp"))
    (folder / "lab").mkdir()
    port = free_port()
    lab = Lab(folder, environment_of(folder, port))
    with FakeGCS(folder) as bucket:
        server = start_sshd(folder, bucket.environment)
        try:
            write_cluster_file(folder, port)
            up = lab.ray("up", "--yes", "--no-config-cache", str(folder / "lab.yaml"))
            assert up.returncode == 0, up.stdout
            deadline = time.monotonic() + 120
            while WORKER not in lab.ray("list", "nodes").stdout:
                assert time.monotonic() < deadline, up.stdout
                time.sleep(1)
            yield lab
        finally:
            lab.kill()
            server.terminate()
            server.wait(timeout=10)
            shutil.rmtree(folder, ignore_errors=True)


def environment_of(folder: Path, port: int) -> dict[str, str]:
    """Return the environment of the launcher and submitter, who has a home and token too."""
    token = folder / "launcher/.ray/auth_token"
    token.parent.mkdir(parents=True)
    token.write_text(TOKEN)
    token.chmod(0o600)
    inherited = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return inherited | {
        "HOME": str(folder / "launcher"),
        "PATH": f"{folder}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_TMPDIR": str(folder),
        "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{port}",
        "RAY_UP_enable_autoscaler_v2": "0",
    }


def start_sshd(folder: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Start an sshd on both addresses whose sessions live in the lab's home."""
    more = " ".join(f"{name}={value}" for name, value in environment.items())
    home, port = folder / "home", free_port()
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True
        )
    (home / "sparta-ray").mkdir(parents=True)
    (home / "sparta-ray/.venv").symlink_to(sys.prefix)  # installed already
    (home / ".bash_profile").write_text(f"export PATH={folder}/bin:$PATH\n")
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress {HEAD}\nListenAddress {WORKER}\n"
        f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
        f"PidFile {folder}/sshd.pid\nStrictModes no\nPasswordAuthentication no\nUsePAM no\n"
        f"SetEnv HOME={home} RAY_TMPDIR={folder} RAY_memory_monitor_refresh_ms=0 "
        f"RAY_metrics_report_interval_ms=1000 {more}\n"
    )
    (folder / "ssh_config").write_text(
        f"Host 127.0.0.*\n  Port {port}\n  IdentityFile {folder}/user\n  LogLevel ERROR\n"
    )
    ssh = folder / "bin/ssh"  # Ray asks for no port and looks for keys in the account's own home
    ssh.parent.mkdir()
    ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/ssh_config "$@"\n')
    ssh.chmod(0o755)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin")
    assert sshd is not None
    return subprocess.Popen(
        [sshd, "-D", "-f", folder / "sshd_config", "-E", folder / "sshd.log"],
    )


def write_cluster_file(folder: Path, dashboard: int) -> None:
    """Fill in the lab's file: addresses, account, and what a shared machine needs different."""
    config = yaml.safe_load((ROOT / "cluster/local.yaml").read_text())
    config["cluster_name"] = folder.name
    config["provider"] |= {"head_ip": HEAD, "worker_ips": [WORKER]}
    config["auth"] = {"ssh_user": getpass.getuser(), "ssh_private_key": str(folder / "user")}
    config["setup_commands"] = []  # the environment is this test's own
    gcs, nodes = free_port(), {"head": HEAD, "worker": WORKER}
    for kind, address in nodes.items():
        more = f" --node-ip-address={address} --num-cpus=2 --object-store-memory=200000000"
        more += f" --dashboard-agent-listen-port={free_port()}"
        more += f" --temp-dir={folder}/{kind}"  # as nodes of one machine would share it
        if kind == "head":
            more += f" --dashboard-port={dashboard}"
        config[f"{kind}_start_ray_commands"] = [
            command.replace("6379", str(gcs)).strip() + more
            for command in config[f"{kind}_start_ray_commands"]
            if "ray stop" not in command  # it would end every Ray of this machine
        ]
    (folder / "lab.yaml").write_text(yaml.safe_dump(config))


def test_the_token_is_asked_for(lab: Lab) -> None:
    assert lab.ray("job", "list").returncode == 0
    for stranger in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_TOKEN": "expired-" + "1" * 40}):
        refused = lab.ray("job", "list", **stranger)
        assert refused.returncode != 0
        assert "token" in refused.stdout, refused.stdout


def test_dry_run_counts_the_cluster(lab: Lab) -> None:
    dry = lab.submit("train_sparta.py", "--dry-run", "--set", "scaling.num_workers=2")
    assert dry.returncode == 0, dry.stdout
    assert "train asks for 4 CPUs and 0 GPUs: 2 workers of 1 CPUs, 2 builders" in dry.stdout
    assert "cluster: 2 nodes, 4 CPUs, 0 GPUs" in dry.stdout


def test_storage_that_nodes_do_not_share_is_refused_in_the_last_lines(lab: Lab) -> None:
    refused = lab.submit("train_sparta.py", "--set", "folder=memory://runs")
    assert refused.returncode == 1
    assert f"{WORKER} does not see memory://runs/.probe-" in refused.stdout, refused.stdout
    assert "or use a URL such as gs://" in refused.stdout
    assert "Traceback" not in refused.stdout


@pytest.fixture(scope="module")
def trained(lab: Lab) -> dict[str, str]:
    """The logs of a training on both nodes: queued behind another job, stopped, submitted again."""
    more = ("--until", "train", "--set", "scaling.num_workers=2")
    held, other = lab.folder / "held", lab.folder / "other.py"
    held.touch()
    other.write_text(HOLDS_TWO_CPUS)
    command = ("job", "submit", "--no-wait", "--", "python", str(other), str(held))
    assert lab.ray(*command).returncode == 0
    follower = subprocess.Popen(
        [*RAY, *submission("train_sparta.py", *more, options=("--submission-id", "first"))],
        env=lab.environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not lab.has("first"):
        assert follower.poll() is None
        time.sleep(1)
    lab.wait_for("first", lambda: "train queued" in lab.logs("first"), 300)
    follower.kill()  # the submitter is gone, the job goes on
    held.unlink()
    lab.wait_for("first", lambda: sum(is_epoch(record) for record in lab.history()) >= 2, 400)
    seen = [""]

    def is_exported() -> bool:
        """Tell whether all that is drawn is there; one may come a moment before another."""
        seen[0] = lab.metrics()
        return all(f"ray_sparta_{gauge}{{" in seen[0] for gauge in drawn_gauges())

    lab.wait_for("first", is_exported, 120)
    assert lab.ray("job", "stop", "first").returncode == 0
    assert lab.status("first") == "STOPPED"
    again = lab.submit("train_sparta.py", *more)
    assert again.returncode == 0, again.stdout
    return {"first": lab.logs("first"), "again": again.stdout, "metrics": seen[0]}


def drawn_gauges() -> set[str]:
    """Return the names of what Grafana's panels draw."""
    panels = json.loads((ROOT / "cluster/grafana.json").read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    return set(chain.from_iterable(re.findall(r"ray_sparta_(\w+)", each) for each in expressions))


def is_epoch(record: dict[str, Any]) -> bool:
    return bool(record["event"] == "epoch")


def test_a_relative_path_is_refused_in_the_last_lines(lab: Lab) -> None:
    refused = lab.submit("train_sparta.py", "--set", "folder=runs")
    assert refused.returncode == 1
    last = refused.stdout[refused.stdout.rindex("error: ") :]
    assert "lies in the job's own copy of the working directory, which Ray deletes" in last


def test_a_run_waits_for_room_and_says_so(trained: dict[str, str]) -> None:
    assert "train queued: it needs 4 CPUs and 0 GPUs, of which" in trained["first"]


def test_a_stopped_job_continues_where_it_was(lab: Lab, trained: dict[str, str]) -> None:
    assert "the same command continues" in trained["first"]
    starts = [record for record in lab.history() if record["event"] == "start"]
    assert [record["ranks"] for record in starts] == [2, 2, 2]
    assert [record["stage"] for record in starts] == ["pretrain", "pretrain", "autoencoder"]
    assert starts[1]["position"] > 0  # the only checkpoint there is: that of the stop
    assert (lab.run / "models/autoencoder/model.json").exists()


def test_what_grafana_draws_is_exported(trained: dict[str, str]) -> None:
    assert {"rows_per_second", "wait_share"} <= drawn_gauges()
    for gauge in drawn_gauges():
        (line,) = (
            line
            for line in trained["metrics"].splitlines()
            if line.startswith(f"ray_sparta_{gauge}{{")
        )
        assert 'run="smoke"' in line
        assert 'stage="pretrain"' in line


def test_a_job_says_little_beside_its_progress(trained: dict[str, str]) -> None:
    lines = trained["again"].splitlines()
    quiet = [line for line in lines if not line.startswith(("prepare", "train"))]
    assert len(quiet) < 40, "\n".join(quiet)


def test_a_sweep_outlives_a_worker(lab: Lab, trained: dict[str, str]) -> None:
    """Trials of two models, two tasks and two seeds; the second node is killed while they run."""
    started = lab.submit("train_downstream.py", options=("--no-wait", "--submission-id", "sweep"))
    assert started.returncode == 0, started.stdout
    trials = lab.run / "downstream"
    lab.wait_for("sweep", lambda: any(trials.glob("*/trial.json")), 300)
    assert lab.kill(f"node_ip_address={WORKER}") > 0
    lab.wait_for("sweep", lambda: lab.status("sweep") == "SUCCEEDED", 400)
    assert len(list(trials.glob("*/trial.json"))) == 8
    assert "_print_lines" not in lab.logs("sweep")  # what the driver holds outlives the node too
