"""The score of the contrastive stages, whichever loss a run was trained with."""

import math
from dataclasses import replace

import pytest
import torch

from sparta_ray.base.config import from_tree, to_tree
from sparta_ray.base.folder import RunFolder
from sparta_ray.evaluation.contrastive import evaluate_contrastive
from sparta_ray.evaluation.results import Results
from sparta_ray.evaluation.setup import Setup
from sparta_ray.metrics.catalogue import METRICS
from sparta_ray.report.run_figures import page_figures
from sparta_ray.run.settings import Run


@pytest.fixture
def trained_with(linear_run, tmp_path):
    """Return a function that gives a run, with the history of the loss that it was trained with."""

    def trained(kind):
        tree = to_tree(replace(linear_run, folder=str(tmp_path)))
        tree["training"]["contrastive"]["loss"] = {"kind": kind}
        run = from_tree(Run, tree, "test")
        losses = {f"train_{kind}": 7.0, f"validation_{kind}": 6.0}
        record = {"event": "epoch", "stage": "pretrain", "epoch": 0, **losses}
        RunFolder(run.path).append_records("metrics.jsonl", [record])
        return run

    return trained


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("nt_xent", 3), ("supervised", 3), ("barlow_twins", 3), ("soft", 3), ("adjacent", 6)],
)
def test_the_loss_that_was_trained_is_scored_and_drawn(trained_with, kind, expected):
    run = trained_with(kind)
    scores = {
        score.metric: score.value
        for score in evaluate_contrastive(Setup(run, torch.device("cpu"))).scores
    }
    assert scores.pop(kind) == expected
    chance = {"guessing": math.log(2 * run.sampling.rows_per_full_batch - 1)}
    assert scores == (chance if kind == "nt_xent" else {})
    assert METRICS[kind].better == "lower"
    assert METRICS[kind].meaning

    (figure,) = page_figures(run, RunFolder(run.path), Results())
    assert ("twice that of the tables" in figure.caption) == (kind != "adjacent")
    assert ("chance level" in figure.caption) == (kind == "nt_xent")
