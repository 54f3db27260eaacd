"""What every part of an evaluation works with: the run's test days, truth and models."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from sparta_ray.base.seeding import derive_seed
from sparta_ray.data.plan.splits import Split, SplitName
from sparta_ray.data.preparation.streaming import open_store
from sparta_ray.data.store.store import Store
from sparta_ray.downstream.latents import Latents
from sparta_ray.embedder import Embedder
from sparta_ray.evaluation.truth import Days, Truth
from sparta_ray.run.settings import Run, downstream_splits
from sparta_ray.training.stages import ModelKind

STREAM = "test"
"""Masks of the test days: the same for every model and task that looks at them."""


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
        return open_store(self.run.data.store, self.run.data.cache)

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
        seed = derive_seed(self.run.seed, "evaluation")
        return Latents(self._embedder(kind), self.store, seed)

    def masked(self, kind: ModelKind) -> Tensor:
        """Return a model's embeddings of the masked test days, (days, D); encoded once."""
        if kind not in self._masked:
            mask = self.run.downstream.mask
            self._masked[kind] = self.latents(kind).masked(self.parts["test"], mask, STREAM)
        return self._masked[kind]

    def reconstructed(self, kind: ModelKind, days: Days) -> xr.DataArray:
        """Return the fields decoded from the embeddings of some masked test days.

        Args:
            kind: Which model.
            days: Indices of test days in the store; no more than memory holds.
        """
        h_TD = self.masked(kind)[days - self.parts["test"].start]
        return self.truth.labelled(self._embedder(kind).decode_physical(h_TD))

    def since_1970(self, days: Days) -> NDArray[np.float64]:
        """Return the dates of some days of the store in days since 1970."""
        return self.store.days[days].astype("datetime64[s]").astype(np.float64) / 86400

    @cached_property
    def _masked(self) -> dict[ModelKind, Tensor]:
        return {}

    def _embedder(self, kind: ModelKind) -> Embedder:
        if kind not in self._embedders:
            self._embedders[kind] = Embedder.from_pretrained(self.run.path, kind, self.device)
        return self._embedders[kind]

    @cached_property
    def _embedders(self) -> dict[ModelKind, Embedder]:
        return {}
