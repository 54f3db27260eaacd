"""What every kind of source can do: the one interface between a source and the rest."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import xarray as xr

from sparta_ray.data.retry import ONCE, RetryConfig


def _never_changes(name: str, indices: tuple[int, ...]) -> str:
    return "unchanged"


@dataclass(frozen=True)
class Opened:
    """An opened data set, of which no field has been read yet.

    Attributes:
        dataset: Coordinates and lazy variables; times are not decoded yet.
        origin: Its path or URL, for messages.
        remote: Whether reading it takes a network.
        retry: How patiently to read it.
        stamp: Takes an array's name and the indices of one value. Returns a text that changes when
            the bytes that hold the value do, without reading them. The default never changes.
    """

    dataset: xr.Dataset
    origin: str
    remote: bool = False
    retry: RetryConfig = ONCE
    stamp: Callable[[str, tuple[int, ...]], str] = _never_changes


class SourceKind(ABC):
    """The base class of the settings of a source.

    A subclass is a frozen pydantic dataclass with a field ``kind``, by which a configuration
    chooses it.
    """

    @abstractmethod
    def open(self) -> list[Opened]:
        """Open every data set of the source, without reading a field.

        Raises:
            ConfigError: There is none, or it is not what the settings say.
            ReadError: It cannot be reached.
        """

    def with_absolute_paths(self) -> Self:
        """Return the same source under paths that mean the same in every process."""
        return self

    def check_reach(self) -> None:
        """Check quickly that the source answers, before anything patient is begun.

        Raises:
            ReadError: Nothing answers; names the host and the cause.
            ConfigError: The path or URL cannot be understood.
        """
        return

    @property
    def is_simulated(self) -> bool:
        """Whether the fields come from a free-running model; the report says so."""
        return False

    @property
    def own_names(self) -> Mapping[str, str]:
        """What the source calls a quantity, where the lexicon does not know the name."""
        return {}

    @property
    def licence(self) -> str:
        """The attribution to keep with the data; empty if that is the user's own business."""
        return ""
