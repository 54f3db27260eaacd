from pathlib import Path

import yaml

from sparta_ray.on_ray.cluster_size import node_limits, nodes_at_least
from sparta_ray.on_ray.resources import Node

CLUSTER = Path(__file__).parents[3] / "cluster"


def test_a_cluster_file_tells_how_far_the_cluster_grows():
    limits = node_limits(yaml.safe_load((CLUSTER / "gpu.yaml").read_text()))
    assert limits == [Node(0)] + [Node(16)] * 8 + [Node(16, 1)] * 8


def test_kinds_without_a_limit_of_their_own_share_the_cluster_s():
    config = {
        "max_workers": 2,
        "head_node_type": "a",
        "available_node_types": {
            "a": {"resources": {"CPU": 4}, "max_workers": 1},
            "b": {"resources": {"GPU": 2}},
        },
    }
    assert node_limits(config) == [Node(4), Node(4), Node(0, 2), Node(0, 2)]


def test_a_lab_s_own_machines_say_nothing_of_their_size():
    assert node_limits({"available_node_types": {"local.cluster.node": {"resources": {}}}}) == []
    assert node_limits({}) == []


def test_a_cluster_file_tells_what_it_wants_at_least():
    assert nodes_at_least(yaml.safe_load((CLUSTER / "gpu.yaml").read_text())) == 1
    kinds = {"a": {"max_workers": 1}, "b": {"min_workers": 2}, "c": {"min_workers": 1}}
    assert nodes_at_least({"available_node_types": kinds}) == 1 + 2 + 1
