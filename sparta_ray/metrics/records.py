"""One score as a record, and what is known about each metric: its name, meaning and direction."""

import math
from dataclasses import dataclass
from typing import Literal

BASELINES = ("persistence", "climatology", "mean field")
"""Forecasts without a model, in the order in which they are shown."""

_BOUND = "perfect-forecast bound of "

_FORMER_BOUND = "floor of "
"""How records of earlier versions name the same."""

Better = Literal["lower", "higher", "nearer zero"]


@dataclass(frozen=True)
class Score:
    """A number that says how well something was done.

    Attributes:
        task: What was scored, such as ``forecast``; see `tasks.sections.SECTIONS`.
        model: What was scored, such as ``sparta``, ``autoencoder`` or ``climatology``.
        metric: Which score, such as ``rrmse``; see `METRICS`.
        value: The number, in `units`.
        units: Units, such as ``%`` or ``m2 s-2``; empty for a pure number.
        lead_days: Days ahead, for a forecast.
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
    """Whose fields or embeddings are scored: the words that a score carries besides its metric."""

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
    "area-weighted rrmse": Metric(
        "Area-weighted RRMSE",
        "lower",
        "RRMSE in which a grid point counts by its cell's area, so that poles count little.",
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
    "crps": Metric(
        "CRPS",
        "lower",
        "Continuous ranked probability score of the samples, fair to their small number; the "
        "absolute error if all samples are alike.",
    ),
    "spread-skill ratio": Metric(
        "Spread-skill ratio",
        None,
        "Spread of the samples over the error of their mean: 1 where the spread tells the error, "
        "less where samples are too much alike.",
    ),
    "nt_xent": Metric("NT-Xent", "lower", "Contrastive loss, mean of the two pairs."),
    "guessing": Metric(
        "NT-Xent at chance level",
        None,
        "log(2N - 1): the loss of a model that cannot tell a batch's N rows apart.",
    ),
    "latent density": Metric(
        "Latent density", "higher", "How close generated embeddings lie to real ones (Eq. 18)."
    ),
    "realism": Metric(
        "Realism", "higher", "Whether generated embeddings lie on the real ones' manifold (Eq. 19)."
    ),
    "latent density, training days": Metric(
        "Latent density (training days)",
        "higher",
        "Against the tasks' training days, encoded as the models see them, without the targets.",
    ),
    "realism, training days": Metric(
        "Realism (training days)",
        "higher",
        "Against the same other real set.",
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
    "adjacent cosine": Metric(
        "Adjacent cosine", None, "Cosine of consecutive days' embeddings, as in the published runs."
    ),
    "centred adjacent cosine": Metric(
        "Centred adjacent cosine",
        "higher",
        "Cosine of consecutive days' embeddings less their mean: 0 for unrelated days.",
    ),
    "lag-1 autocorrelation": Metric(
        "Lag-1 autocorrelation",
        "higher",
        "Of each component over consecutive days, weighted by its variance.",
    ),
    "mask agreement": Metric(
        "Mask agreement",
        "higher",
        "Cosine of the embeddings of a masked and the whole day, less the mean of whole days.",
    ),
    "linear probe accuracy": Metric(
        "Linear probe", "higher", "Seasons put right by ridge regression on the embedding."
    ),
    "knn probe accuracy": Metric(
        "kNN probe", "higher", "Seasons put right by the 20 most alike training days."
    ),
    "positive cosine": Metric(
        "Mean positive cosine", "higher", "Of two augmented views of the same day (Table 3.1)."
    ),
    "negative cosine": Metric(
        "Mean negative cosine", "lower", "Of augmented views of different days (Table 3.1)."
    ),
    "embedding variance": Metric(
        "Mean variance of embeddings", None, "Over days, mean of the components (Table 3.1)."
    ),
    "total variance": Metric("Total variance", None, "Summed over the embedding's components."),
    "effective rank": Metric(
        "Effective rank", "higher", "How many directions of the embedding are in use."
    ),
}


_SEASON_NMI = (
    "Normalised mutual information of seasons and k clusters of days (k-means); with k above 4 "
    "even perfect clusters stay below 1."
)


def metric_of(name: str) -> Metric:
    """Return the metric's entry; one that is not listed has its own name and no direction."""
    if name.startswith("season nmi"):
        return Metric(f"NMI {name.removeprefix('season nmi ')}", "higher", _SEASON_NMI)
    return METRICS.get(name, Metric(name[:1].upper() + name[1:], None, ""))


def best(values: list[float], better: Better) -> float:
    """Return the best of some values."""
    if better == "nearer zero":
        return min(values, key=abs)
    return min(values) if better == "lower" else max(values)


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
