"""Embeddings for the downstream tasks: each day is encoded once an epoch, never once a window."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from sparta_ray.data.masking import MaskConfig
from sparta_ray.data.splits import Split
from sparta_ray.data.store import Store
from sparta_ray.embedder import Embedder
from sparta_ray.seeding import derive_seed


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

    def masked(self, split: Split, mask: MaskConfig, stream: str, epoch: int = 0) -> Tensor:
        """Return embeddings of a split's masked days, shape (days, D).

        Args:
            split: The days.
            mask: Share hidden.
            stream: Keeps the masks of different uses apart.
            epoch: Masks are drawn anew for each.
        """
        days = np.arange(split.start, split.stop)
        seed = derive_seed(self.seed, stream, epoch)
        return self.embedder.encode_masked(self.store.read_standardised(days), mask, seed, days)

    def of_epochs(self, split: Split, mask: MaskConfig, stream: str) -> Callable[[int], Tensor]:
        """Return the function of the epoch that draws its masks and encodes its days."""
        return lambda epoch: self.masked(split, mask, stream, epoch)

    def whole(self, split: Split) -> Tensor:
        """Return embeddings of a split's days with nothing hidden, shape (days, D)."""
        return self.embedder.encode_whole(
            self.store.read_standardised(np.arange(split.start, split.stop))
        )
