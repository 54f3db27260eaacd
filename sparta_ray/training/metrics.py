"""Means over the rows of many batches, mergeable like every accumulator."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class RowMeans:
    """Means of named losses, each batch weighted by its rows.

    Sums stay on the device until asked for, so that adding a batch never waits for a GPU.
    """

    rows: int = 0
    _sums: dict[str, Tensor] = field(default_factory=dict)

    def add(self, terms: Mapping[str, Tensor], rows: int) -> None:
        """Add one batch."""
        for name, value in terms.items():
            weighted = value.detach().double() * rows
            self._sums[name] = self._sums[name] + weighted if name in self._sums else weighted
        self.rows += rows

    def merge(self, other: "RowMeans") -> "RowMeans":
        """Return the means of both parts together."""
        names = self._sums.keys() | other._sums.keys()
        zero = torch.zeros((), dtype=torch.float64)
        sums = {n: self._sums.get(n, zero) + other._sums.get(n, zero) for n in names}
        return RowMeans(self.rows + other.rows, sums)

    def result(self) -> dict[str, float]:
        """Return the means; empty before the first batch."""
        return {name: float(total) / self.rows for name, total in self._sums.items()}

    def state(self) -> dict[str, float]:
        """Return the sums and, as ``rows``, their weight, for a checkpoint."""
        return {"rows": self.rows, **{name: float(total) for name, total in self._sums.items()}}

    @classmethod
    def of_state(cls, state: Mapping[str, float]) -> "RowMeans":
        """Continue from a checkpoint."""
        sums = {
            name: torch.tensor(total, dtype=torch.float64)
            for name, total in state.items()
            if name != "rows"
        }
        return cls(int(state["rows"]), sums)
