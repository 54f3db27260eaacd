"""Season classification of masked test days."""

import numpy as np
import torch
import xarray as xr
from torch.nn.functional import cross_entropy

from sparta_ray.data.plan.seasons import SEASONS, season_of
from sparta_ray.downstream.classification import SeasonClassifier
from sparta_ray.evaluation.results import Results
from sparta_ray.evaluation.setup import Setup
from sparta_ray.metrics.case_sums import Cases
from sparta_ray.metrics.records import Subject
from sparta_ray.run.trial import Trial


def evaluate_classification(setup: Setup, trial: Trial, model: SeasonClassifier) -> Results:
    """Score one trained classifier: cross-entropy, accuracy and the confusion matrix."""
    latents = setup.latents(trial.model)
    mask = setup.run.downstream.classification_mask
    h_TD = latents.masked(setup.parts["test"], mask, "season").to(setup.device)
    labels = season_of(setup.store.days[setup.test_days])
    with torch.inference_mode():
        logits = model(h_TD).double().cpu()
    losses = cross_entropy(logits, torch.from_numpy(labels), reduction="none").numpy()
    guesses = logits.argmax(dim=1).numpy()
    counts = np.zeros((len(SEASONS), len(SEASONS)), dtype=np.int64)
    np.add.at(counts, (labels, guesses), 1)
    subject = Subject("classification", trial.model, seed=trial.seed)
    windows = Cases(subject, setup.since_1970(setup.test_days))
    confusion = xr.DataArray(counts, dims=("season", "guess"))
    return Results(arrays={f"confusion-{trial.name}": confusion}).add(
        [
            windows.mean("cross-entropy", losses),
            windows.mean("accuracy", (guesses == labels).astype(np.float64)),
        ]
    )


def evaluate_majority(setup: Setup) -> Results:
    """Score always naming the commonest season."""
    return Results(
        [Subject("classification", "majority").score("accuracy", majority_accuracy(setup))]
    )


def majority_accuracy(setup: Setup) -> float:
    """Return the accuracy of always naming the test days' commonest season."""
    labels = season_of(setup.store.days[setup.test_days])
    return float(np.bincount(labels).max() / len(labels))
