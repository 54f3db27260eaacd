"""The contrastive loss that a run ended with, beside its chance level where that is known."""

import math

from sparta_ray.base.folder import RunFolder
from sparta_ray.evaluation.results import Results
from sparta_ray.evaluation.setup import Setup
from sparta_ray.metrics.catalogue import metric_of
from sparta_ray.metrics.contrastive import NTXent, TrainedLoss
from sparta_ray.metrics.records import Subject
from sparta_ray.run.history import last_validation


def evaluate_contrastive(setup: Setup) -> Results:
    """Score the last validation loss of the contrastive stages, by whichever loss was trained.

    A loss that adds a term for each neighbour is scored by the mean of both; one that no metric is
    named after, as it was trained.
    """
    run, results = setup.run, Results()
    kind = run.training.contrastive.loss.kind
    metric = metric_of(kind)
    pairs = metric.pairs if isinstance(metric, TrainedLoss) else 1
    chance = math.log(2 * run.sampling.rows_per_full_batch - 1)
    for stage in run.training.stages:
        value = last_validation(RunFolder(run.path), stage.kind, kind)
        if value is not None:
            subject = Subject("contrastive", f"sparta after {stage.kind}")
            results.scores.append(subject.score(kind, value / pairs))
            if isinstance(metric, NTXent):
                # Scores of earlier versions call the chance level so too.
                results.scores.append(subject.score("guessing", chance))
    return results
