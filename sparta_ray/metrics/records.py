"""One score as a record, a score that could not be given, and the names of what is scored."""

import math
from dataclasses import dataclass

BASELINES = ("persistence", "climatology", "mean field")
"""Forecasts without a model, in the order in which they are shown."""

_BOUND = "perfect-forecast bound of "

_FORMER_BOUND = "floor of "
"""How records of earlier versions name the same."""


@dataclass(frozen=True)
class Score:
    """A number that says how well something was done.

    Attributes:
        task: What was scored, such as ``forecast``; see `tasks.sections.SECTIONS`.
        model: What was scored, such as ``sparta``, ``autoencoder`` or ``climatology``.
        metric: Which score, such as ``rrmse``; see `catalogue.METRICS`.
        value: The number, in `units`.
        units: Units, such as ``%`` or ``m2 s-2``; empty for a pure number.
        lead_days: Steps ahead, for a forecast: days with the usual ``data.step``.
        variable: Label such as ``geopotential@850``, for a score of one variable.
        setting: Which form of the task, such as ``lookback30_stride1``.
        seed: The seed of the run, where several are compared.
        published: The paper's number for the same thing, where it has one.
        run: Name of the run, where several are compared.
    """

    task: str
    model: str
    metric: str
    value: float
    units: str = ""
    lead_days: int | None = None
    variable: str | None = None
    setting: str | None = None
    seed: int | None = None
    published: float | None = None
    run: str = ""

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"{self.task} {self.metric} of {self.model} is {self.value}")


@dataclass(frozen=True)
class Subject:
    """Whose fields or embeddings are scored: what a score carries besides its metric.

    Attributes:
        task: What was scored; see `tasks.sections.SECTIONS`.
        model: What is scored, such as ``sparta`` or ``climatology``.
        setting: Which form of the task.
        seed: The seed of the training, where several are compared.
    """

    task: str
    model: str
    setting: str | None = None
    seed: int | None = None

    def score(
        self,
        metric: str,
        value: float,
        units: str = "",
        lead_days: int | None = None,
        variable: str | None = None,
    ) -> Score:
        """Return one score."""
        return Score(
            task=self.task,
            model=self.model,
            metric=metric,
            value=float(value),
            units=units,
            lead_days=lead_days,
            variable=variable,
            setting=self.setting,
            seed=self.seed,
        )


@dataclass(frozen=True)
class Absent:
    """A score that could not be given.

    Attributes:
        task: As of a `Score`.
        model: Whose.
        metric: Which.
        reason: Why, in words.
    """

    task: str
    model: str
    metric: str
    reason: str


def bound_of(model: str) -> str:
    """Return the name of the perfect-forecast bound of a model.

    It is what the model's decoder makes of the true days' own embeddings.
    """
    return f"{_BOUND}{model}"


def is_bound(model: str) -> bool:
    """Return whether a name is `bound_of` some model."""
    return model.startswith(_BOUND)


def current_name(model: str) -> str:
    """Return a model's name as it is now, where a record of an earlier version has a former one."""
    if model.startswith(_FORMER_BOUND):
        return bound_of(model.removeprefix(_FORMER_BOUND))
    return model


def is_baseline(model: str) -> bool:
    """Return whether a name is no model's own: a baseline, or the bound of a model."""
    return model in BASELINES or is_bound(model)
