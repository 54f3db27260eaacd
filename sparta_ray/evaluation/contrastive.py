"""The contrastive loss that a run ended with, beside its chance level."""

import math

from sparta_ray.base.folder import RunFolder
from sparta_ray.evaluation.results import Results
from sparta_ray.evaluation.setup import Setup
from sparta_ray.metrics.records import Subject
from sparta_ray.run.history import last_validation


def evaluate_contrastive(setup: Setup) -> Results:
    """Score the last validation NT-Xent of the contrastive stages, a pair of views each."""
    run, results = setup.run, Results()
    chance = math.log(2 * run.sampling.rows_per_full_batch - 1)
    for stage in run.training.stages:
        value = last_validation(RunFolder(run.path), stage.kind, "nt_xent")
        if value is not None:
            subject = Subject("contrastive", f"sparta after {stage.kind}")
            results.scores.append(subject.score("nt_xent", value / 2))
            # Scores of earlier versions call the chance level so too.
            results.scores.append(subject.score("guessing", chance))
    return results
