"""Season classification of masked test days."""

import numpy as np
import torch
import xarray as xr

from sparta_ray.data.seasons import SEASONS, season_of
from sparta_ray.downstream.classification import (
    SeasonClassifier,
    score_classifier,
)
from sparta_ray.downstream.trial import Trial
from sparta_ray.evaluation.results import Results
from sparta_ray.evaluation.setup import Setup
from sparta_ray.evaluation.truth import Subject


def evaluate_classification(setup: Setup, trial: Trial) -> Results:
    """Score one trained classifier: cross-entropy, accuracy and who is taken for whom."""
    model, latents = setup.model_of(trial), setup.latents(trial.model)
    assert isinstance(model, SeasonClassifier)
    mask = setup.run.downstream.classification_mask
    h_TD = latents.masked(setup.parts["test"], mask, "season").to(setup.device)
    labels = season_of(setup.store.days[setup.test_days])
    cross_entropy, accuracy = score_classifier(
        model, h_TD, torch.from_numpy(labels).to(setup.device)
    )
    with torch.inference_mode():
        guesses = model(h_TD).argmax(dim=1).cpu().numpy()
    counts = np.zeros((len(SEASONS), len(SEASONS)), dtype=np.int64)
    np.add.at(counts, (labels, guesses), 1)
    subject = Subject("classification", trial.model, seed=trial.seed)
    return Results(
        [
            subject.score("cross-entropy", cross_entropy),
            subject.score("accuracy", accuracy),
        ],
        {f"confusion-{trial.name}": xr.DataArray(counts, dims=("season", "guess"))},
    )


def majority_accuracy(setup: Setup) -> float:
    """Return the accuracy of always naming the test days' commonest season."""
    labels = season_of(setup.store.days[setup.test_days])
    return float(np.bincount(labels).max() / len(labels))
