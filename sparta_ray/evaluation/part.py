"""A part of an evaluation: what can be scored by itself, and what its results follow from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sparta_ray.evaluation.results import Results
from sparta_ray.evaluation.setup import Setup
from sparta_ray.run.trial import Trial
from sparta_ray.training.stages import ModelKind


@dataclass(frozen=True)
class Part:
    """One part of a run's evaluation.

    Attributes:
        label: What is scored, in words; unique in a run.
        score: Scores it.
        models: The trained models that it looks at.
        trial: The downstream trial that it scores, if it does.
        settings: Settings of the task that it belongs to; those that all parts share are not
            repeated here.
    """

    label: str
    score: Callable[[Setup], Results]
    models: tuple[ModelKind, ...] = ()
    trial: Trial | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The label as the name of a folder."""
        return self.label.replace(" ", "-")
