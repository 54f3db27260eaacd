"""TensorBoard over two runs of one name, asked over HTTP as a browser asks it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from sparta_ray.base.config import load, to_tree
from sparta_ray.base.folder import RunFolder
from sparta_ray.run.settings import Run
from sparta_ray.training.reporter import HISTORY

ROOT = Path(__file__).parents[2]
STEP = {"stage": "joint", "time": 100.0, "event": "step", "split": "train", "epoch": 0}


def tags(port: int) -> dict[str, Any]:
    """Return the scalars of each run; nothing while the server is not up."""
    try:
        address = f"http://127.0.0.1:{port}/data/plugin/scalars/tags"
        with urllib.request.urlopen(address, timeout=10) as answer:
            return dict(json.load(answer))
    except OSError:
        return {}


@pytest.mark.timeout(180)
def test_runs_of_one_name_are_shown_apart_and_as_they_go(tmp_path: Path) -> None:
    runs = [RunFolder(str(tmp_path / place / "demo")) for place in ("one", "two")]
    for run in runs:
        run.write("run.yaml", yaml.safe_dump({"config": to_tree(load(Run, None, []))}))
        run.append_records(HISTORY, [STEP | {"position": 1, "loss": 2.0, "wait_share": 0.1}])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [
        sys.executable, "jobs/dashboard.py", os.path.relpath(runs[0].path, ROOT), runs[1].path,
        "--port", str(port), "--every", "1",
    ]  # fmt: skip
    names = [f"{run.url.strip('/')}/train/joint_train" for run in runs]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as server:
        try:
            while not set(names) <= tags(port).keys():
                assert server.poll() is None
                time.sleep(0.5)
            assert set(tags(port)[names[0]]) == {"losses/loss", "throughput/wait_share"}
            runs[1].append_records(HISTORY, [STEP | {"position": 2, "gradient_norm": 1.0}])
            while "optimiser/gradient_norm" not in tags(port)[names[1]]:
                time.sleep(0.5)
        finally:
            server.send_signal(signal.SIGINT)
    assert server.returncode == 130
