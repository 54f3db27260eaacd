"""Jobs beside each other on several raylets, some of which only pretend to have a GPU.

All that Ray decides is real: places, queues, reservations. Nothing is computed on those GPUs, so
the jobs here ask as ours do and build real batches, but train no model.
"""

import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
import yaml
from ray.cluster_utils import Cluster

from sparta_ray.base.config import load
from sparta_ray.base.errors import ConfigError
from sparta_ray.data.preparation.facts import inspect_data
from sparta_ray.on_ray.cluster_size import check_cluster
from sparta_ray.on_ray.nodes import check_nodes
from sparta_ray.on_ray.prepare import prepare
from sparta_ray.on_ray.queueing import wait_for_room
from sparta_ray.on_ray.resources import training_request
from sparta_ray.run.settings import Run

ROOT = Path(__file__).parents[2]
STORE = {"object_store_memory": 100_000_000}
TWO_GPUS = (
    "scaling.use_gpu=true", "scaling.num_workers=2", "scaling.builders_per_worker=2",
    "downstream.gpus_per_trial=0.5",
)  # fmt: skip

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

COMMON = """
import json, sys, time
from itertools import islice

import ray
from ray import tune
from ray.train.torch import TorchConfig, TorchTrainer

from sparta_ray.on_ray.session import ray_session
from sparta_ray.base.config import from_tree, load, to_tree
from sparta_ray.data.batches.builder import BatchRecipe
from sparta_ray.data.store.store import Store
from sparta_ray.on_ray.downstream import _concurrency
from sparta_ray.on_ray.resources import trial_request
from sparta_ray.run.settings import Run, schedule, splits
from sparta_ray.training.stages import needs
from sparta_ray.on_ray.queueing import turn_to_train, wait_for_room
from sparta_ray.on_ray.stream import stream

def place():
    return [ray.get_runtime_context().get_node_id(), ray.get_gpu_ids()]

run = load(Run, "conf/smoke.yaml", sys.argv[1:])
"""

TRAINING = """
def work(config):
    run, context = from_tree(Run, config, "run"), ray.train.get_context()
    stage, days = run.training.stages[0], len(Store(run.data.store))
    recipe = BatchRecipe(
        run.data.store, splits(run, days), run.sampling, run.views, run.mask, 0,
        schedule(run, stage, days), needs(stage, run.training.contrastive),
    )
    rank, ranks = context.get_world_rank(), context.get_world_size()
    batches = stream(recipe, 0, rank, ranks, run.scaling.builders_per_worker)
    seen = [int(batch["position"][0]) for batch in islice(batches, 5)]
    everywhere = [None] * ranks
    torch.distributed.all_gather_object(everywhere, [*place(), seen])
    return everywhere

import torch
with ray_session(run, ("train",)), turn_to_train(run, every=1) as begun:
    trainer = TorchTrainer(
        work,
        train_loop_config=to_tree(run),
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=2, use_gpu=True, resources_per_worker={"CPU": 1, "GPU": 1}
        ),
        run_config=ray.train.RunConfig(storage_path=run.folder),
    )
    print("placed", json.dumps(trainer.fit().return_value), flush=True)
"""
"""Workers, builders and turn of a real training; its first batches."""

SWEEP = """
def trial(config):
    time.sleep(1)
    tune.report({"place": place()})

with ray_session(run, ("downstream",)):
    wait_for_room(trial_request(run), every=1)
    resources = {"cpu": run.downstream.cpus_per_trial, "gpu": run.downstream.gpus_per_trial}
    results = tune.Tuner(
        tune.with_resources(trial, resources),
        param_space={"n": tune.grid_search(list(range(6)))},
        tune_config=tune.TuneConfig(max_concurrent_trials=_concurrency(run)),
        run_config=tune.RunConfig(storage_path=run.folder, verbose=0),
    ).fit()
    print("placed", json.dumps([result.metrics["place"] for result in results]), flush=True)
"""
"""Trials that ask for what a downstream trial asks for."""

PLACED = re.compile(r"placed (\[.*)")
"""What a job found, on a line among what Ray's libraries print."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head without CPUs, two nodes with a pretended GPU each, and one with CPUs alone."""
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **STORE}
    )
    for gpus in (1, 1, 0):
        cluster.add_node(num_cpus=3, num_gpus=gpus, **STORE)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_ADDRESS", cluster.address)
        ray.init(
            address=cluster.address, logging_level="WARNING",
            runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
        )  # fmt: skip
        yield cluster
        ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def folder(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a store is prepared and runs may lie."""
    folder = tmp_path_factory.mktemp("placement")
    prepare(inspect_data(run_of(folder).data))
    return folder


def settings(folder: Path, *more: str) -> list[str]:
    return [f"folder={folder}/runs", f"data.store={folder}/store.zarr", *TWO_GPUS, *more]


def run_of(folder: Path, *more: str) -> Run:
    return load(Run, ROOT / "conf/smoke.yaml", settings(folder, *more))


def start(job: str, folder: Path, name: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", COMMON + job, *settings(folder, f"name={name}")],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def test_trainings_and_a_sweep_that_want_the_same_gpus_all_come_to_an_end(
    cluster: Cluster, folder: Path
) -> None:
    """Each training fills both GPUs and six of nine CPUs; the sweep could take both GPUs too."""
    jobs = [
        start(job, folder, name)
        for job, name in ((TRAINING, "one"), (TRAINING, "other"), (SWEEP, "sweep"))
    ]
    outputs = [job.communicate(timeout=300)[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0, 0], "\n\n".join(outputs)
    found = [json.loads(line) for output in outputs for line in PLACED.findall(output)]
    *trainings, trials = found
    gpu_nodes = {node["NodeID"] for node in ray.nodes() if node["Resources"].get("GPU")}
    for workers in trainings:
        assert {node for node, _, _ in workers} == gpu_nodes
        assert [gpus for _, gpus, _ in workers] == [[0], [0]]
        assert [seen for _, _, seen in workers] == [[0, 1, 2, 3, 4]] * 2
    assert len(trials) == 6
    assert all(node in gpu_nodes and gpus == [0] for node, gpus in trials)
    assert any(" queued: " in output for output in outputs)


def test_machines_that_do_not_come_are_waited_for_and_then_given_up(
    cluster: Cluster, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The cluster's file allows a third GPU, and wants a fifth node; no cloud brings either."""
    kinds = {
        "head": {"resources": {"CPU": 0}, "max_workers": 0},
        "cpu": {"resources": {"CPU": 3}, "max_workers": 1, "min_workers": 1},
        "gpu": {"resources": {"CPU": 3, "GPU": 1}, "max_workers": 3, "min_workers": 3},
    }
    launched = {"head_node_type": "head", "available_node_types": kinds}
    (tmp_path / "ray_bootstrap_config.yaml").write_text(yaml.safe_dump(launched))
    monkeypatch.setenv("HOME", str(tmp_path))
    request = training_request(run_of(folder, "scaling.num_workers=3"))
    said = check_cluster(run_of(folder))
    assert "4 nodes, 9 CPUs, 2 GPUs, of the 5 nodes that its file wants at least" in said
    assert said.endswith("it may grow to 5 nodes, 12 CPUs, 3 GPUs")
    with pytest.raises(ConfigError, match=r"no machine came for .* quota") as error:
        wait_for_room(request, every=0, patience=5)
    lack = "train needs 9 CPUs and 3 GPUs, the cluster has 4 nodes, 9 CPUs, 2 GPUs and may grow to"
    assert lack in str(error.value)
    assert f"train waits for machines: {lack}" in capfd.readouterr().out

    waiting = threading.Thread(target=wait_for_room, args=(request,), daemon=True)
    waiting.start()
    waiting.join(timeout=3)
    assert waiting.is_alive()
    late = cluster.add_node(num_cpus=3, num_gpus=1, **STORE)  # now one comes
    waiting.join(timeout=30)
    assert not waiting.is_alive()
    cluster.remove_node(late)


@pytest.fixture
def wrong_image(tmp_path: Path) -> Path:
    """An environment with another torch, and without this project."""
    own, other = Path(sysconfig.get_path("purelib")), tmp_path / "image"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", other], check=True)
    (packages,) = (other / "lib").glob("python*/site-packages")
    for package in own.iterdir():
        if not package.name.startswith(("sparta_ray", "__editable__", "torch-")):
            (packages / package.name).symlink_to(package)
    (packages / "torch-2.12.1.dist-info").mkdir()
    (packages / "torch-2.12.1.dist-info/METADATA").write_text("Name: torch\nVersion: 2.12.1\n")
    return other / "bin/python"


def test_a_node_of_another_image_is_named_with_what_differs(
    cluster: Cluster, folder: Path, wrong_image: Path, tmp_path: Path
) -> None:
    nodes = len(ray.nodes())
    code = tmp_path / "code"  # the package alone: beside it an installation leaves its version
    code.mkdir()
    (code / "sparta_ray").symlink_to(ROOT / "sparta_ray")
    with (tmp_path / "node.log").open("w") as log:
        node = subprocess.Popen(
            [
                wrong_image, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1",
                f"--address={cluster.address}", "--object-store-memory=100000000",
                f"--node-ip-address={cluster.head_node.node_ip_address}",
            ],
            env=os.environ | {"PYTHONPATH": str(code)}, start_new_session=True,
            stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while len(ray.nodes()) == nodes:
            assert time.monotonic() < deadline, (tmp_path / "node.log").read_text()
            time.sleep(0.5)
        with pytest.raises(ConfigError) as error:
            check_nodes([str(folder)])
    finally:
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()
    assert "has torch 2.12.1, the driver " in str(error.value)
    assert "has sparta-ray missing, the driver " in str(error.value)
    assert "start all nodes from the same image" in str(error.value)
    assert len(str(error.value).splitlines()) == 3  # the others agree
