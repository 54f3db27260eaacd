"""One score as a record, and what is known about each metric: its name, meaning and direction."""

import math
from dataclasses import dataclass
from typing import Literal

TASKS = (
    "contrastive",
    "reconstruction",
    "forecast",
    "diffusion",
    "classification",
    "latent space",
)
"""The tasks in the order in which a report shows them."""

Better = Literal["lower", "higher", "nearer zero"]


@dataclass(frozen=True)
class Score:
    """A number that says how well something was done.

    Attributes:
        task: One of `TASKS`.
        model: What was scored, such as ``sparta``, ``autoencoder`` or ``climatology``.
        metric: Which score, such as ``rrmse``; see `METRICS`.
        value: The number, in `units`.
        units: Units, such as ``%`` or ``m2 s-2``; empty for a pure number.
        lead_days: Days ahead, for a forecast.
        variable: Label such as ``geopotential@850``, for a score of one variable.
        setting: Which form of the task, such as ``lookback30_stride1``.
        seed: The seed of the run, where several are compared.
        published: The paper's number for the same thing, where it has one.
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

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"unknown task {self.task!r}; known are {', '.join(TASKS)}")
        if not math.isfinite(self.value):
            raise ValueError(f"{self.task} {self.metric} of {self.model} is {self.value}")


@dataclass(frozen=True)
class Metric:
    """What a metric means, for readers.

    Attributes:
        label: The name in headings.
        better: Which direction is better, or None where neither is.
        meaning: One sentence.
    """

    label: str
    better: Better | None
    meaning: str


METRICS = {
    "rrmse": Metric(
        "RRMSE",
        "lower",
        "Root mean squared error over all variables and grid points together, divided by the mean "
        "of the truth; geopotential dominates it.",
    ),
    "rmse": Metric("RMSE", "lower", "Area-weighted root mean squared error."),
    "standardised error": Metric(
        "Standardised error",
        "lower",
        "Squared error of standardised fields, summed over variables: the reconstruction loss.",
    ),
    "bias": Metric("Bias", "nearer zero", "Area-weighted mean of forecast minus truth."),
    "acc": Metric("ACC", "higher", "Correlation of anomalies from the day-of-year climatology."),
    "ssim": Metric("SSIM", "higher", "Structural similarity of the scaled fields, at most 1."),
    "psnr": Metric("PSNR", "higher", "Peak signal-to-noise ratio of the scaled fields."),
    "nt_xent": Metric("NT-Xent", "lower", "Contrastive loss, mean of the two pairs."),
    "latent density": Metric(
        "Latent density", "higher", "How close generated embeddings lie to real ones (Eq. 18)."
    ),
    "realism": Metric(
        "Realism", "higher", "Whether generated embeddings lie on the real ones' manifold (Eq. 19)."
    ),
    "std": Metric(
        "Std dev",
        None,
        "Spread of all generated numbers, as published; it grows with the embedding's variance.",
    ),
    "std per condition": Metric(
        "Std dev per condition", None, "Spread of the samples generated for one condition."
    ),
    "cross-entropy": Metric(
        "Cross-entropy", "lower", "Mean of -log of the probability given to the right season."
    ),
    "accuracy": Metric("Accuracy", "higher", "Share of days put in the right season."),
    "temporal distance": Metric(
        "Temporal distance",
        None,
        "‖h(t) − h(t−1)‖² over consecutive days; grows with the embedding's variance.",
    ),
    "cycle distance": Metric(
        "Cycle distance",
        None,
        "‖h(t−1) − 2 h(t) + h(t+1)‖²; grows with the embedding's variance.",
    ),
    "relative temporal distance": Metric(
        "Relative temporal distance",
        "lower",
        "Divided by the total variance, so that scale drops out; 2 for unrelated days.",
    ),
    "relative cycle distance": Metric(
        "Relative cycle distance",
        "lower",
        "Divided by the total variance, so that scale drops out; 6 for unrelated days.",
    ),
    "total variance": Metric("Total variance", None, "Summed over the embedding's components."),
    "effective rank": Metric(
        "Effective rank", "higher", "How many directions of the embedding are in use."
    ),
}


def metric_of(name: str) -> Metric:
    """Return the metric's entry; one that is not listed has its own name and no direction."""
    return METRICS.get(name, Metric(name[:1].upper() + name[1:], None, ""))


def best(values: list[float], better: Better) -> float:
    """Return the best of some values."""
    if better == "nearer zero":
        return min(values, key=abs)
    return min(values) if better == "lower" else max(values)
