"""A cluster of two nodes that share no disk, used as a lab would use its own."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest

from tests.lab import HEAD, LACKS_SERVERS, RAY, ROOT, WORKER, Lab, cluster, submission

HOLDS_TWO_CPUS = """
import os, ray, sys, time

@ray.remote(num_cpus=2)
def hold(path):
    while os.path.exists(path):
        time.sleep(0.2)

ray.get(hold.remote(sys.argv[1]))
"""

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        LACKS_SERVERS,
        reason="needs openssh-server and rsync (Debian: apt install openssh-server rsync)",
    ),
]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with cluster() as lab:
        yield lab


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
    last = lab.logs(refused_id(refused.stdout)).splitlines()[-2:]
    for node, line in zip((HEAD, WORKER), last, strict=True):  # a line each, by address
        assert f"{node} does not see memory://runs/.probe-" in line, refused.stdout
        assert "or use a URL such as gs://" in line
    assert "Traceback" not in refused.stdout


def refused_id(output: str) -> str:
    """Return the id of the job that ended with this output of its submission."""
    found = re.search(r"raysubmit_\w+", output)
    assert found is not None, output
    return found[0]


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


def test_the_chain_ends_with_a_report(lab: Lab, trained: dict[str, str]) -> None:
    done = lab.submit("train_sparta.py")
    assert done.returncode == 0, done.stdout
    assert "report: gs://lab/runs/smoke/report/index.html" in done.stdout
    assert (lab.run / "report/index.html").exists()
