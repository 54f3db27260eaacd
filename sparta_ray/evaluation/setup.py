"""What every part of an evaluation works with: the run's test days, truth and models."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn

from sparta_ray.data.splits import Split, SplitName
from sparta_ray.data.store import Store
from sparta_ray.downstream.latents import Latents
from sparta_ray.downstream.trial import Trial, load_trial
from sparta_ray.embedder import Embedder
from sparta_ray.evaluation.truth import Days, Truth
from sparta_ray.run import Run, downstream_splits
from sparta_ray.run_folder import RunFolder
from sparta_ray.seeding import derive_seed
from sparta_ray.training.stages import ModelKind


@dataclass(frozen=True)
class Setup:
    """A finished run, opened for evaluation.

    Attributes:
        run: The run.
        device: Where models compute.
    """

    run: Run
    device: torch.device

    @cached_property
    def store(self) -> Store:
        """The run's fields."""
        return Store(self.run.data.store)

    @cached_property
    def truth(self) -> Truth:
        """True fields and baselines."""
        return Truth(self.run, self.store)

    @cached_property
    def parts(self) -> dict[SplitName, Split]:
        """The downstream splits."""
        return downstream_splits(self.run, len(self.store))

    @property
    def test_days(self) -> Days:
        """Indices of the downstream test days."""
        return np.arange(self.parts["test"].start, self.parts["test"].stop)

    def latents(self, kind: ModelKind) -> Latents:
        """Return a model's embeddings; masks of the evaluation are the same for every model."""
        return Latents(self._embedders[kind], self.store, derive_seed(self.run.seed, "evaluation"))

    def model_of(self, trial: Trial) -> nn.Module:
        """Return a finished trial's model."""
        return load_trial(RunFolder(self.run.path), self.run, trial).to(self.device)

    @cached_property
    def _embedders(self) -> dict[ModelKind, Embedder]:
        return {
            kind: Embedder.from_pretrained(self.run.path, kind, self.device)
            for kind in self.run.models
        }
