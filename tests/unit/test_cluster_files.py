"""The cluster files, held against the schemas of those who read them."""

import json
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from ray._private.runtime_env.packaging import create_package
from ray.autoscaler._private.util import prepare_config, validate_config

import sparta_ray
from sparta_ray.on_ray.gauges import _GAUGES

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
LAUNCHED = sorted(CLUSTER.glob("*.yaml"))
MANIFESTS = sorted((CLUSTER / "kuberay").glob("*.yaml"))

RAY_CLUSTER_FIELDS = {
    "": {"rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions",
         "headGroupSpec", "workerGroupSpecs", "headServiceAnnotations", "suspend",
         "managedBy", "gcsFaultToleranceOptions", "upgradeStrategy"},
    "authOptions": {"mode", "secretName", "enableK8sTokenAuth"},
    "autoscalerOptions": {"resources", "image", "imagePullPolicy", "env", "envFrom", "volumeMounts",
                          "securityContext", "idleTimeoutSeconds", "upscalingMode", "version"},
    "headGroupSpec": {"serviceType", "headService", "enableIngress", "rayStartParams", "template",
                      "resources", "labels"},
    "workerGroupSpecs": {"groupName", "replicas", "minReplicas", "maxReplicas", "numOfHosts",
                         "idleTimeoutSeconds", "rayStartParams", "template", "scaleStrategy",
                         "suspend", "resources", "labels"},
}  # fmt: skip
"""Fields of KubeRay's RayClusterSpec and its parts, ray.io/v1 as of KubeRay 1.6."""

RAY_JOB_FIELDS = {
    "activeDeadlineSeconds", "backoffLimit", "rayClusterSpec", "submitterPodTemplate", "metadata",
    "clusterSelector", "submitterConfig", "managedBy", "deletionStrategy", "entrypoint",
    "runtimeEnvYAML", "jobId", "submissionMode", "entrypointResources", "entrypointNumCpus",
    "entrypointNumGpus", "ttlSecondsAfterFinished", "shutdownAfterJobFinishes", "suspend",
}  # fmt: skip


def load(path: Path) -> dict[str, Any]:
    config = yaml.safe_load(path.read_text())
    assert isinstance(config, dict)
    return config


def name(path: Path) -> str:
    return path.name


def test_the_files_that_are_documented_are_there():
    assert [path.name for path in LAUNCHED] == ["cpu.yaml", "gpu.yaml", "local.yaml"]
    assert [path.name for path in MANIFESTS] == [
        "networkpolicy.yaml", "raycluster.yaml", "rayjob.yaml",
    ]  # fmt: skip


@pytest.mark.parametrize("path", LAUNCHED, ids=name)
def test_ray_up_accepts_the_file(path):
    config = prepare_config(load(path))
    validate_config(config)
    start = " ".join(config["head_start_ray_commands"])
    assert "RAY_AUTH_MODE=token" in start
    assert "RAY_AUTH_MODE=token" in " ".join(config["worker_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in start
    assert "RAY_JOB_STOP_WAIT_TIME_S=120" in start  # time for a last checkpoint
    assert any(mount.endswith((".ray", ".ray/auth_token")) for mount in config["file_mounts"])


@pytest.mark.parametrize("path", LAUNCHED[:2], ids=name)
def test_spot_machines_tell_ray_that_they_are_taken_away(path):
    config = prepare_config(load(path))
    spot = [node for node in config["available_node_types"].values() if node["resources"]["CPU"]]
    for node in spot:
        assert node["node_config"]["scheduling"]["provisioningModel"] == "SPOT"
    start = " ".join(config["worker_start_ray_commands"])
    assert "python -m sparta_ray.on_ray.spot_notice --address $RAY_HEAD_IP:6379" in start


@pytest.mark.parametrize("path", LAUNCHED[:2], ids=name)
def test_clouds_are_private_and_workers_may_only_use_storage(path):
    config = prepare_config(load(path))
    assert config["provider"]["use_internal_ips"]
    for kind, node in config["available_node_types"].items():
        machine = node["node_config"]
        assert all("accessConfigs" not in card for card in machine["networkInterfaces"])
        (account,) = machine["serviceAccounts"]
        if kind != config["head_node_type"]:
            assert account["scopes"] == ["https://www.googleapis.com/auth/devstorage.read_write"]
            assert machine["scheduling"]["provisioningModel"] == "SPOT"
        assert machine["labels"]["project"] == "sparta-ray"
    assert config["docker"]["image"].partition(":")[2].startswith(sparta_ray.__version__)
    assert config["idle_timeout_minutes"] <= 10


@pytest.mark.parametrize("path", LAUNCHED[:2], ids=name)
def test_what_the_head_of_a_file_says_of_cost_is_what_it_chooses(path):
    config, head = load(path), path.read_text().partition("cluster_name:")[0]
    assert f"{config['idle_timeout_minutes']} minutes until" in head
    for kind, node in config["available_node_types"].items():
        machine = node["node_config"]
        chosen = machine["machineType"]
        if kind != config["head_node_type"]:
            chosen = f"at most {node['max_workers']} {chosen}"
        assert f" {chosen}" in head
        assert f"{machine['disks'][0]['initializeParams']['diskSizeGb']} GB" in head


def ray_cluster_specs() -> list[Any]:
    specs = []
    for path in MANIFESTS:
        manifest = load(path)
        if manifest["kind"] in ("RayCluster", "RayJob"):
            spec = manifest["spec"].get("rayClusterSpec", manifest["spec"])
            specs.append(pytest.param(spec, id=path.name))
    return specs


@pytest.mark.parametrize("spec", ray_cluster_specs())
def test_kuberay_knows_every_field(spec):
    assert spec.keys() <= RAY_CLUSTER_FIELDS[""]
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"
    parts = [(part, spec[part]) for part in ("authOptions", "autoscalerOptions", "headGroupSpec")]
    for part, fields in [
        *parts,
        *(("workerGroupSpecs", group) for group in spec["workerGroupSpecs"]),
    ]:
        assert fields.keys() <= RAY_CLUSTER_FIELDS[part], part


@pytest.mark.parametrize("spec", ray_cluster_specs())
def test_kubernetes_accepts_every_pod(spec):
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = {"apiVersion": "v1", "kind": "Pod", **group["template"]}
        pod["metadata"] |= {"name": "some"}
        kubernetes_validate.validate(pod, "1.33", strict=True)
        (container,) = group["template"]["spec"]["containers"]
        assert container["image"].partition(":")[2].startswith(sparta_ray.__version__)
        assert container["resources"]["requests"] == container["resources"]["limits"]


def test_the_job_has_the_cluster_s_shape():
    cluster, job = load(CLUSTER / "kuberay/raycluster.yaml"), load(CLUSTER / "kuberay/rayjob.yaml")
    assert job["spec"].keys() <= RAY_JOB_FIELDS
    assert job["spec"]["rayClusterSpec"] == cluster["spec"]


def test_the_network_policy_is_one():
    policy = load(CLUSTER / "kuberay/networkpolicy.yaml")
    kubernetes_validate.validate(policy, "1.33", strict=True)
    labels = policy["spec"]["podSelector"]["matchLabels"].items()
    for param in ray_cluster_specs():
        (spec,) = param.values
        for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
            assert labels <= group["template"]["metadata"]["labels"].items()


def test_no_file_holds_a_secret():
    for path in (path for path in CLUSTER.rglob("*") if path.is_file()):
        text = path.read_text()
        assert not re.search(r"BEGIN .*PRIVATE KEY|AKIA[0-9A-Z]{16}|ya29\.|\"private_key\"", text)
        assert not re.search(r"AUTH_TOKEN\s*[=:]\s*[\"']?[A-Za-z0-9+/]{16,}", text), path


def test_pinned_versions_are_the_tested_ones():
    constraints = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    assert (
        f"BASE=rayproject/ray:{constraints['ray']}-py311-gpu"
        in (CLUSTER / "Dockerfile").read_text()
    )
    for param in ray_cluster_specs():
        assert param.values[0]["rayVersion"] == constraints["ray"]


def test_grafana_draws_metrics_that_are_exported():
    board = json.loads((CLUSTER / "grafana.json").read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    drawn = {name for text in expressions for name in re.findall(r"ray_sparta_(\w+)", text)}
    assert {"rows_per_second", "wait_share"} <= drawn <= set(_GAUGES)


def test_the_upload_of_a_job_is_small(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    package = tmp_path / "package.zip"
    create_package(".", package, include_gitignore=True)
    assert 1 < package.stat().st_size / 2**20 < 20
