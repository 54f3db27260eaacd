import importlib.metadata

import pytest

from sparta_ray.base.errors import ConfigError
from sparta_ray.on_ray.nodes import (
    NodeReport,
    _off,
    check_nodes,
    disagreements,
    own_versions,
    refuse_own_disks,
)

VERSIONS = {"python": "3.11.7", "torch": "2.13.0"}


def test_nodes_that_agree_are_no_problem():
    assert disagreements(VERSIONS, [NodeReport("10.0.0.2", VERSIONS, clock=59.0)]) == []


@pytest.mark.parametrize(
    ("report", "problem"),
    [
        (
            NodeReport("a", VERSIONS | {"torch": "2.12.1"}, 0),
            "a has torch 2.12.1, the driver 2.13.0",
        ),
        (NodeReport("a", {"python": "3.11.7"}, 0), "a has torch missing, the driver 2.13.0"),
        (NodeReport("a", VERSIONS | {"python": "3.12.1"}, 0), "a has python 3.12.1"),
        (NodeReport("a", VERSIONS, -90), "a has a clock -90 s off; synchronise it"),
        (
            NodeReport("a", VERSIONS, 0, ("cannot read s3://b: no",)),
            "a cannot read s3://b: no",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_node(report, problem):
    (found,) = disagreements(VERSIONS, [NodeReport("b", VERSIONS, 0), report])
    assert found.startswith(problem)


def test_own_versions_leave_the_build_out():
    versions = own_versions()
    assert {"python", "sparta-ray", "ray", "torch"} <= versions.keys()
    assert "+" not in versions["torch"]
    assert "missing" not in versions.values()


def test_only_what_is_installed_counts(tmp_path, monkeypatch):
    (tmp_path / "torch-9.9.dist-info").mkdir()
    (tmp_path / "torch-9.9.dist-info/METADATA").write_text("Name: torch\nVersion: 9.9\n")
    monkeypatch.syspath_prepend(tmp_path)  # as Ray does with the driver's folder
    assert importlib.metadata.version("torch") == "9.9"
    assert own_versions()["torch"] != "9.9"


def test_a_growing_cluster_takes_urls_and_mounts_but_no_disk_of_one_node(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda1 / ext4 rw 0 0\nserver:/lab /shared nfs4 rw 0 0\n"
        "tmpfs /shared/scratch tmpfs rw 0 0\n"
    )
    refuse_own_disks(["gs://bucket/runs", "/shared/runs"], mounts)
    for path in ("/home/me/runs", "/shared/scratch/runs", "/sharedby/runs"):
        with pytest.raises(ConfigError, match=f"{path} lies on this node's own disk"):
            refuse_own_disks(["/shared/runs", path], mounts)


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("nfs9://server/runs", "cannot write to nfs9://server/runs: .*Protocol not known"),
        ("/proc/version/runs", "cannot write to /proc/version/runs"),
    ],
)
def test_storage_that_the_driver_cannot_use_is_refused_before_any_node_is_asked(folder, message):
    with pytest.raises(ConfigError, match=message):
        check_nodes([folder])


def test_a_clock_is_off_by_what_lies_outside_question_and_answer():
    assert _off(15.0, asked_at=10.0, answered_at=20.0) == 0
    assert _off(5.0, asked_at=10.0, answered_at=20.0) == -5
    assert _off(100.0, asked_at=10.0, answered_at=20.0) == 80


def test_a_file_url_is_a_local_path(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/sda1 / ext4 rw 0 0\n")
    with pytest.raises(ConfigError, match="file:///data/runs lies on this node's own disk"):
        refuse_own_disks(["file:///data/runs"], mounts)
