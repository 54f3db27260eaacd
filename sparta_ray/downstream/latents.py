"""Embeddings for the downstream tasks: each day is encoded once an epoch, never once a window.

Fields are read a few days at a time; whole splits are held as embeddings alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.seeding import derive_seed
from sparta_ray.data.plan.masking import MaskConfig
from sparta_ray.data.plan.splits import Split
from sparta_ray.data.store.day_blocks import day_blocks
from sparta_ray.data.store.store import Store
from sparta_ray.embedder import Embedder


@dataclass(frozen=True)
class Latents:
    """Embeddings of a frozen encoder on a store's days.

    Attributes:
        embedder: The frozen model.
        store: Where the days come from.
        seed: Base of the masks.
    """

    embedder: Embedder
    store: Store
    seed: int

    def __post_init__(self) -> None:
        if self.embedder.card.fingerprint != self.store.fingerprint:
            raise ConfigError(
                f"the {self.embedder.card.kind} model was trained on data "
                f"{self.embedder.card.fingerprint}, not on the store {self.store.path} "
                f"({self.store.fingerprint}); choose the store it belongs to"
            )

    def masked(self, split: Split, mask: MaskConfig, stream: str, epoch: int = 0) -> Tensor:
        """Return embeddings of a split's masked days, shape (days, D); missing values are hidden.

        Args:
            split: The days.
            mask: What is hidden.
            stream: Keeps the masks of different uses apart.
            epoch: Masks are drawn anew for each.
        """
        seed = self._mask_seed(stream, epoch)
        encoded = [
            self.embedder.encode_masked(self.store.read_standardised(days), mask, seed, days)
            for days in day_blocks(np.arange(split.start, split.stop))
        ]
        return torch.cat(encoded)

    def masked_view(self, day: int, mask: MaskConfig, stream: str) -> tuple[Tensor, Tensor]:
        """Return what `masked` sees of one day in epoch 0: its view and what is not hidden."""
        days = np.array([day])
        x_1VXY = self.store.read_standardised(days)
        view, kept = self.embedder.masked_views(x_1VXY, mask, self._mask_seed(stream, 0), days)
        return view[0], kept[0]

    def _mask_seed(self, stream: str, epoch: int) -> int:
        return derive_seed(self.seed, stream, epoch)

    def of_epochs(self, split: Split, mask: MaskConfig, stream: str) -> Callable[[int], Tensor]:
        """Return the function of the epoch that draws its masks and encodes its days."""
        return lambda epoch: self.masked(split, mask, stream, epoch)

    def whole(self, split: Split) -> Tensor:
        """Return embeddings of a split's days with nothing hidden but what is missing."""
        return self.of_days(np.arange(split.start, split.stop))

    def of_days(self, days: NDArray[np.int64]) -> Tensor:
        """Return embeddings of any days with nothing hidden but what is missing, (days, D)."""
        return torch.cat(
            [
                self.embedder.encode_unmasked(self.store.read_standardised(some))
                for some in day_blocks(days)
            ]
        )

    def on_native_grid(self, days: NDArray[np.int64]) -> Tensor:
        """Return embeddings of any days on their own grid, as of `Embedder.encode_native_grid`."""
        return torch.cat(
            [
                self.embedder.encode_native_grid(self.store.read_standardised(some))
                for some in day_blocks(days)
            ]
        )
