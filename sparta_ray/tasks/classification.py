"""Season classification: which season a masked day's embedding belongs to."""

from collections.abc import Iterator, Mapping

import torch
from torch import nn

from sparta_ray.base.config import to_tree
from sparta_ray.base.durations import StepLength
from sparta_ray.data.plan.seasons import SEASONS, season_of
from sparta_ray.downstream.classification import (
    ClassificationConfig,
    SeasonClassifier,
    train_classifier,
)
from sparta_ray.evaluation.part import Part
from sparta_ray.evaluation.results import Results
from sparta_ray.evaluation.seasons import evaluate_classification, evaluate_majority
from sparta_ray.evaluation.setup import Setup
from sparta_ray.figures.curves import confusion_matrix
from sparta_ray.figures.display import in_sentence
from sparta_ray.figures.report_figure import ReportFigure
from sparta_ray.run.settings import Run
from sparta_ray.run.trial import Trial
from sparta_ray.tasks.task import DownstreamTask, Training


class Classification(DownstreamTask):
    """Season classification by a small multilayer perceptron."""

    name = "classification"
    heading = "Season classification"
    question = "Does the embedding know the season?"

    def settings(self, run: Run) -> Mapping[str, ClassificationConfig]:
        """Return the one form of the task, unless the run leaves it out."""
        config = run.downstream.classification
        return {} if config is None else {"": config}

    def network(self, run: Run, setting: str) -> nn.Module:
        """Return the untrained classifier."""
        return SeasonClassifier(run.model.embedding, self.settings(run)[setting])

    def train(self, training: Training) -> nn.Module:
        """Train a classifier on embeddings of masked days."""
        latents, parts = training.latents, training.parts
        mask, device = training.run.downstream.classification_mask, training.device
        labels = {
            name: torch.from_numpy(season_of(latents.store.days[part.start : part.stop])).to(device)
            for name, part in parts.items()
        }
        validation = latents.masked(parts["validation"], mask, "validation").to(device)
        return train_classifier(
            latents.of_epochs(parts["train"], mask, "train"),
            labels["train"],
            (validation, labels["validation"]),
            self.settings(training.run)[training.trial.setting],
            training.seed,
            training.on_epoch,
        )

    def evaluate(self, setup: Setup, trial: Trial) -> Results:
        """Score its guesses of the test days' seasons."""
        model = self.load(setup, trial)
        assert isinstance(model, SeasonClassifier)
        return evaluate_classification(setup, trial, model)

    def baselines(self, run: Run) -> Iterator[Part]:
        """Yield what always naming the commonest season scores."""
        for config in self.settings(run).values():
            yield Part("baselines classification", evaluate_majority, settings=to_tree(config))

    def figures(self, run: Run, results: Results) -> Iterator[ReportFigure]:
        """Yield the confusion matrix of each classifier."""
        for kind in run.models:
            for trial in self.trials(run, kind):
                yield from _confusion(trial, results, run.data.length)


def _confusion(trial: Trial, results: Results, step: StepLength) -> Iterator[ReportFigure]:
    if (counts := results.arrays.get(f"confusion-{trial.name}")) is not None:
        name = in_sentence(trial.model)
        yield ReportFigure(
            "classification",
            f"Confusion matrix: {name}, seed {trial.seed}",
            f"Test {step.nouns} by true and predicted season.",
            confusion_matrix(counts.values, SEASONS, step),
            f"Confusion matrix of the season classifier on {name} embeddings.",
        )
