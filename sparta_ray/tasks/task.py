"""What a downstream task is: it trains a model on embeddings, loads it, scores it and shows it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from sparta_ray.base.config import to_tree
from sparta_ray.base.durations import StepLength
from sparta_ray.base.folder import RunFolder
from sparta_ray.base.seeding import derive_seed
from sparta_ray.data.plan.splits import Split, SplitName
from sparta_ray.downstream.latents import Latents
from sparta_ray.downstream.training import OnEpoch
from sparta_ray.evaluation.part import Part
from sparta_ray.evaluation.results import Results
from sparta_ray.evaluation.setup import Setup
from sparta_ray.figures.report_figure import ReportFigure
from sparta_ray.metrics.records import Score
from sparta_ray.run.settings import Run, downstream_splits
from sparta_ray.run.trial import Trial, load_weights
from sparta_ray.training.stages import ModelKind


class TaskConfig(Protocol):
    """Settings of a task in one form: a dataclass beside `DownstreamConfig`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def epochs(self) -> int:
        """Passes over the training days."""


@dataclass(frozen=True)
class Training:
    """What a task is trained with.

    Attributes:
        run: The run.
        trial: The model whose embeddings are learnt from, the form of the task, and the seed.
        latents: Embeddings of that model.
        on_epoch: Called with the losses of every epoch.
    """

    run: Run
    trial: Trial
    latents: Latents
    on_epoch: OnEpoch

    @property
    def seed(self) -> int:
        """What everything random in the training derives from."""
        return derive_seed(self.run.seed, "trial", self.trial.task, self.trial.seed)

    @property
    def parts(self) -> dict[SplitName, Split]:
        """The days of the downstream splits."""
        return downstream_splits(self.run, len(self.latents.store))

    @property
    def device(self) -> torch.device:
        """Where the model trains."""
        return self.latents.embedder.device


class DownstreamTask(ABC):
    """One downstream task.

    A new one derives from this, and is added to `DOWNSTREAM_TASKS` in `tasks/registry.py`.

    Attributes:
        name: Names its trials, folders and scores.
        heading: Heading of its section in a report.
        question: The question that the section answers.
        limits: What a user of one of its models must know, a sentence each.
    """

    name: ClassVar[str]
    heading: ClassVar[str]
    question: ClassVar[str]
    limits: ClassVar[Sequence[str]] = ()

    @abstractmethod
    def settings(self, run: Run) -> Mapping[str, TaskConfig]:
        """Return the forms of the task that a run asks for, by name.

        A task that has one form only names it by the empty text; a run without it has none.
        """

    @abstractmethod
    def network(self, run: Run, setting: str) -> nn.Module:
        """Return the task's model with fresh weights, as it is before training."""

    @abstractmethod
    def train(self, training: Training) -> nn.Module:
        """Train a model on the downstream training days, watching the validation days."""

    @abstractmethod
    def evaluate(self, setup: Setup, trial: Trial) -> Results:
        """Score a trained model on the downstream test days."""

    def bounds(self, run: Run, kind: ModelKind) -> Iterator[Part]:
        """Yield the parts that score what a perfect model on these embeddings would reach."""
        yield from ()

    def baselines(self, run: Run) -> Iterator[Part]:
        """Yield the parts that score what needs no model."""
        yield from ()

    def figures(self, run: Run, results: Results) -> Iterator[ReportFigure]:
        """Yield the figures of a run's report; their section is the task's name."""
        yield from ()

    def study_figures(self, results: Results, step: StepLength) -> Iterator[ReportFigure]:
        """Yield the figures of a report on several runs, whose steps are so long."""
        yield from ()

    def findings(self, scores: Sequence[Score]) -> Iterator[str]:
        """Yield what the scores say, in plain sentences, for the top of a report."""
        yield from ()

    def trials(self, run: Run, kind: ModelKind) -> list[Trial]:
        """Return its trials on one model of a run."""
        return [
            Trial(kind, self.name, setting, seed)
            for setting in self.settings(run)
            for seed in run.downstream.seeds
        ]

    def load(self, setup: Setup, trial: Trial) -> nn.Module:
        """Return a trained model, in eval mode, on the device of the evaluation."""
        model = self.network(setup.run, trial.setting)
        return load_weights(RunFolder(setup.run.path), trial, model).to(setup.device)

    def part(self, run: Run, trial: Trial) -> Part:
        """Return the part of an evaluation that scores a trial."""

        def score(setup: Setup) -> Results:
            return self.evaluate(setup, trial)

        own = to_tree(self.settings(run)[trial.setting])
        return Part(trial.name, score, (trial.model,), trial, own)
