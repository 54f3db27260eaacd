"""Studies whose scores are the paper's numbers, and a shift that tells ours from theirs."""

import numpy as np

from sparta_ray.base.config import from_tree
from sparta_ray.base.folder import RunFolder
from sparta_ray.evaluation.published_results import SIMPLE, published_results, published_value
from sparta_ray.evaluation.results import Results
from sparta_ray.metrics.case_sums import Cases
from sparta_ray.metrics.config import BootstrapConfig
from sparta_ray.metrics.records import Subject
from sparta_ray.report.study import Member, Study
from sparta_ray.report.study_scores import StudyScores
from sparta_ray.run.settings import Run

SHIFT = 0.5
"""Our numbers are the published ones and this."""

SWITCHES = {
    "sparta_early_hn_cycle": {},
    "sparta_early_hn": {"training": {"contrastive": {"cycle_weight": 0}}},
    "sparta_early_cycle": {"sampling": {"negatives": False}},
    "sparta_early": {
        "sampling": {"negatives": False},
        "training": {"contrastive": {"cycle_weight": 0}},
    },
    "sparta_late_attention": {"model": {"fusion": {"kind": "attention"}}},
    "sparta_late_graph": {"model": {"fusion": {"kind": "graph"}}},
    "barlow_twins": {"training": {"contrastive": {"loss": {"kind": "barlow_twins"}}}},
    "supcon": {"training": {"contrastive": {"loss": {"kind": "supervised"}}}},
    "simclr": {"sampling": {"negatives": False, "max_neighbour_days": 0}},
}


def run_of(variant, **changes):
    only = {"training": {"stages": [{"kind": "pretrain"}]}}
    tree = {**SWITCHES[variant], "name": variant}
    tree["training"] = {**tree.get("training", {}), **only["training"]}
    return from_tree(Run, {**tree, **changes}, "test")


def published_scores(variant, kind="sparta"):
    """Return scores that are the published ones and `SHIFT`, with 200 windows each."""
    results = Results()
    days = np.arange(200.0)
    keys = [(*key, None, None) for key in SIMPLE]
    keys += [
        ("forecast", "rrmse", setting, lead)
        for setting in published_results()["forecast_rrmse_percent"]
        for lead in (25, 50, 75, 100)
    ]
    for task, metric, setting, lead in keys:
        value = published_value(task, metric, variant, setting, lead)
        if value is not None:
            windows = Cases(Subject(task, kind, setting, 0), days, lead)
            results.add([windows.mean(metric, np.full(200, value + SHIFT))])
    return results


def member(variant, **changes):
    run = run_of(variant, **changes)
    results = published_scores(variant)
    return Member(variant, run, RunFolder(f"runs/{run.name}"), "print", results)


def study_scores_of(*variants, empty=None):
    """Return what a study of these variants and the autoencoder has to say."""
    members = [member(variant) for variant in variants]
    alone = from_tree(Run, {"training": {"stages": [{"kind": "autoencoder"}]}}, "test")
    scores = published_scores("autoencoder", "autoencoder")
    members.append(Member("autoencoder", alone, RunFolder("runs/a"), "print", scores))
    return StudyScores(Study("all", "runs", tuple(members), empty or {}), BootstrapConfig())
