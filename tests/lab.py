"""A cluster of two nodes, brought up over ssh from `cluster/local.yaml`.

The nodes are two loopback addresses of this machine behind a real sshd, with keys, configuration
and a home of their own. (Not 127.0.0.1, which Ray replaces by the machine's outer address.) Runs
and store lie in a bucket, as for nodes that share no disk:

    with cluster() as lab:
        lab.submit("train_sparta.py", "--dry-run").stdout
"""

import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.gcs import FakeGCS

ROOT = Path(__file__).parents[1]
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
HEAD, WORKER = "127.0.0.2", "127.0.0.3"
SHORT = (
    "--set", "training.stages=[{kind: pretrain, epochs: 10}, {kind: autoencoder, epochs: 1}]",
    "--set", "training.checkpoint_every_epochs=100",
    "--set", "downstream.seeds=[0, 1]", "--set", "downstream.diffusion=null",
)  # fmt: skip
TOKEN = "a-token-of-this-test-" + "0" * 32

LACKS_SERVERS = not (shutil.which("sshd", path="/usr/sbin:/usr/bin") and shutil.which("rsync"))


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


@contextmanager
def cluster() -> Iterator[Lab]:
    """Bring the cluster up and, in the end, down; its sockets need a short path."""
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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
