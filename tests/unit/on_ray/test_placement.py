import re
from dataclasses import replace
from pathlib import Path

import pytest

from sparta_ray.base.config import load
from sparta_ray.base.errors import ConfigError
from sparta_ray.on_ray.resources import (
    Node,
    check_object_store,
    check_resources,
    fitting_trials,
    holds,
    resource_requests,
    training_request,
)
from sparta_ray.run.settings import Run
from sparta_ray.tasks.trials import trials

ROOT = Path(__file__).parents[3]


def run_of(*changes: str) -> Run:
    return load(Run, None, changes)


def test_what_training_asks_for_is_workers_and_builders_together():
    run = run_of(
        "scaling.num_workers=3", "scaling.cpus_per_worker=2", "scaling.builders_per_worker=4",
        "scaling.use_gpu=true",
    )  # fmt: skip
    request = training_request(run)
    assert (request.cpus, request.gpus) == (3 * 2 + 3 * 4, 3)
    assert request.description == "3 workers of 2 CPUs and 1 GPU, 12 builders of 1 CPU"
    assert [each.link for each in resource_requests(run)] == ["prepare", "train", "downstream"]


@pytest.mark.parametrize(
    ("changes", "nodes", "message"),
    [
        (["scaling.num_workers=2"], [Node(3)], "asks for 4 CPUs"),
        (["scaling.cpus_per_worker=3"], [Node(2), Node(2)], "the largest node has 2"),
        (["scaling.use_gpu=true"], [Node(8)], "1 GPUs but the cluster has 0"),
        # 6 CPUs are there, but neither node holds two workers of 2, nor their builders beside them.
        (["scaling.cpus_per_worker=2", "scaling.num_workers=2"], [Node(3), Node(3)], None),
        (["scaling.cpus_per_worker=2", "scaling.num_workers=2"], [Node(5), Node(1)], None),
        (["scaling.cpus_per_worker=3"], [Node(3), Node(0.5), Node(0.5)], "do not fit into nodes"),
        # The GPU's own node has no CPU left for the worker.
        (["scaling.use_gpu=true"], [Node(0, 1), Node(4)], "do not fit into nodes"),
        (["downstream.gpus_per_trial=0.5"], [Node(4)], "a downstream trial asks for 1 CPUs"),
        (["downstream.gpus_per_trial=0.5"], [Node(1, 1), Node(4)], None),
        ([], [], "the largest node has 0"),
    ],
)
def test_a_run_that_would_wait_for_ever_is_refused(changes, nodes, message):
    if message is None:
        check_resources(run_of(*changes), nodes)
        return
    with pytest.raises(ConfigError, match=message):
        check_resources(run_of(*changes), nodes)


@pytest.mark.parametrize(
    ("changes", "nodes", "message"),
    [
        (["scaling.num_workers=[1, 8]"], [Node(2)], None),
        (["scaling.num_workers=[2, 8]"], [Node(2), Node(2)], None),
        (["scaling.num_workers=[2, 8]"], [Node(2)], "asks for 4 CPUs"),
        # A worker and its builders hold CPUs of one node.
        (["scaling.num_workers=[2, 8]"], [Node(3), Node(1)], "2 builders of 1 CPU beside them"),
        (["scaling.num_workers=[2, 4]", "scaling.use_gpu=true"], [Node(8, 1)], "2 GPUs but"),
        (["scaling.num_workers=[1, 4]", "scaling.use_gpu=true"], [Node(8, 1)], None),
    ],
)
def test_an_elastic_run_needs_room_for_its_fewest_workers(changes, nodes, message):
    test_a_run_that_would_wait_for_ever_is_refused(changes, nodes, message)


def test_what_an_elastic_run_may_grow_to_is_said():
    request = training_request(run_of("scaling.num_workers=[2, 8]"))
    assert (request.cpus, request.gpus) == (4, 0)
    assert request.description == (
        "2 workers of 1 CPUs, 2 builders of 1 CPU beside them; where there is room, up to 8 workers"
    )


def test_batches_that_the_object_store_cannot_hold_are_refused_with_both_sizes():
    row, run = 142_332, run_of()
    check_object_store(run, row, [Node(2, store=130e6), Node(0, store=1)])
    message = (
        "a node has 60 MB, but for 1 workers there, 7 batches of 126 rows each .* take 126 MB; "
        "raise scaling.object_store_gb"
    )
    with pytest.raises(ConfigError, match=message):
        check_object_store(run, row, [Node(2, store=60e6)])
    check_object_store(run_of("scaling.num_workers=2"), row, [Node(2, store=130e6)])
    several = run_of("scaling.num_workers=2", "scaling.builders_per_worker=2")
    with pytest.raises(ConfigError, match="for 2 workers there, 8 batches of 63 rows"):
        check_object_store(several, row, [Node(6, store=80e6)])


@pytest.mark.parametrize(
    ("nodes", "bundles", "fit"),
    [
        ([Node(4, 1), Node(4)], [Node(2, 1), Node(2), Node(2), Node(2)], True),
        ([Node(3, 1), Node(3)], [Node(2, 1), Node(2), Node(2)], False),  # 6 CPUs, but 3 and 3
        ([Node(8), Node(8, 1)], [Node(1, 1), Node(1, 1)], False),
        ([Node(0.3)], [Node(0.1)] * 3, True),  # rounding does not lose one
        ([], [Node(1)], False),
    ],
)
def test_pieces_must_fit_into_nodes(nodes, bundles, fit):
    assert holds(nodes, bundles) == fit


def test_trials_fit_into_nodes_not_into_the_sum():
    run = run_of("downstream.cpus_per_trial=2")
    assert fitting_trials(run, [Node(3), Node(3)]) == 2
    quarter = run_of("downstream.gpus_per_trial=0.25")
    assert fitting_trials(quarter, [Node(16, 1), Node(2, 1), Node(8)]) == 4 + 2
    tenth = run_of("downstream.cpus_per_trial=0.1")
    assert fitting_trials(tenth, [Node(0.3)]) == 3  # rounding does not lose one


def test_the_documented_table_is_what_a_run_asks_for():
    published = load(Run, ROOT / "conf/paper/base.yaml")
    guide = (ROOT / "docs/guides/cluster.md").read_text()
    rows = re.findall(
        r"^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+)\b.* \| (\d+) \|$", guide, re.MULTILINE
    )
    assert [int(row[0]) for row in rows] == [1, 8, 64]
    for row in rows:
        workers, cpus, builders, together, machines, at_a_time = map(int, row)
        run = replace(published, scaling=replace(published.scaling, num_workers=workers))
        assert training_request(run).gpus == workers
        assert workers * run.scaling.cpus_per_worker == cpus
        assert workers * run.scaling.builders_per_worker == builders
        assert training_request(run).cpus == together
        nodes = [Node(16, 1)] * machines  # g2-standard-16
        assert holds(nodes, training_request(run).bundles)
        assert not holds(nodes[1:], training_request(run).bundles)
        assert min(fitting_trials(run, nodes), len(list(trials(run)))) == at_a_time


def test_what_is_not_to_be_done_needs_no_room():
    run = run_of("scaling.use_gpu=true", "scaling.cpus_per_worker=8")
    check_resources(run, [Node(1)], links=("prepare",))
    check_resources(run, [Node(2)], links=("downstream", "evaluate"))
    with pytest.raises(ConfigError, match="the largest node has 1"):
        check_resources(run, [Node(1)], links=("prepare", "train"))
