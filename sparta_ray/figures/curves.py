"""Figures of losses, of scores against lead time, and of confusion matrices."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from sparta_ray.base.durations import DAY, StepLength
from sparta_ray.figures.display import (
    decimals_for,
    display_of,
    in_sentence,
    model_name,
    model_order,
    number,
)
from sparta_ray.figures.style import (
    FAINT,
    INK,
    MODEL_COLOURS,
    MUTED,
    WIDTH,
    grid_of_panels,
    headline,
    label_below,
    line_looks,
    share_legend,
    styled,
)
from sparta_ray.metrics.catalogue import metric_of
from sparta_ray.metrics.metric import best

LOSS_NAMES = {
    "loss": "total loss",
    "nt_xent": "NT-Xent",
    "supervised": "supervised contrastive",
    "barlow_twins": "Barlow Twins",
    "soft": "soft contrastive",
    "adjacent": "adjacent positives",
    "cycle": "cycle consistency",
    "reconstruction": "reconstruction",
    "neighbour_reconstruction": "neighbour reconstruction",
    "lr": "learning rate",
}


@styled
def loss_curves(
    history: pd.DataFrame, stage: str, chance: Mapping[str, float] | None = None
) -> Figure:
    """Draw training and validation losses over the epochs of one stage, a panel each.

    Args:
        history: One row an epoch: ``epoch``, ``train_<name>``, ``validation_<name>`` and ``lr``.
        stage: The stage's name, for the title.
        chance: By loss name, the chance level; drawn as a dotted line.
    """
    columns = list(map(str, history.columns))
    names = [column.removeprefix("train_") for column in columns if column.startswith("train_")]
    panels = [*names, *(["lr"] if "lr" in history else [])]
    figure, axes = grid_of_panels(len(panels), 3, 1.75, sharex=True)
    for ax, name in zip(axes, panels, strict=True):
        if name == "lr":
            _curve(ax, history, "lr", None, color=MUTED, drawstyle="steps-post")
            ax.set_yscale("log")
        else:
            _loss_panel(ax, history, name, (chance or {}).get(name))
        ax.set_title(LOSS_NAMES.get(name, name.replace("_", " ")))
        ax.set_ylabel("learning rate" if name == "lr" else "loss (no units)")
    label_below(axes, 3, "epoch")
    headline(figure, _loss_finding(history, stage, names))
    share_legend(figure, axes[0])
    return figure


def _loss_panel(ax: Axes, history: pd.DataFrame, name: str, chance: float | None) -> None:
    _curve(ax, history, f"train_{name}", "training", color=MODEL_COLOURS["sparta"])
    _curve(ax, history, f"validation_{name}", "validation", color=MODEL_COLOURS["autoencoder"])
    if chance is not None:
        ax.axhline(chance, color=MUTED, linestyle=":", linewidth=1.0)
        right_end = ax.get_yaxis_transform()  # across in parts of the axes, up in losses
        ax.text(
            1,
            chance,
            "chance level",
            fontsize=7,
            color=MUTED,
            ha="right",
            va="bottom",
            transform=right_end,
        )


def _curve(ax: Axes, history: pd.DataFrame, column: str, label: str | None, **look: Any) -> None:
    if column in history:
        known = history[["epoch", column]].dropna()
        marker = "o" if len(known) < 3 else None
        ax.plot(known["epoch"], known[column], label=label, marker=marker, markersize=3, **look)


def _loss_finding(history: pd.DataFrame, stage: str, names: Sequence[str]) -> str:
    column = f"validation_{'loss' if 'loss' in names else names[0]}"
    if column not in history or history[column].isna().all():
        return f"{stage}: losses by epoch"
    known = history[["epoch", column]].dropna()
    losses = known[column].to_numpy()
    lowest, digits = int(losses.argmin()), decimals_for(losses)
    text = f"{stage}: validation loss {number(losses[-1], digits)} after the last epoch"
    if lowest == len(losses) - 1:
        return f"{text}, its lowest"
    epoch = known["epoch"].iloc[lowest]
    return f"{text}, lowest {number(losses[lowest], digits)} after epoch {epoch}"


@styled
def score_by_lead(scores: pd.DataFrame, metric: str, units: str, time_unit: str = "days") -> Figure:
    """Draw one score against lead time, a line for each model and baseline.

    Args:
        scores: Columns ``label``, ``lead`` and ``value``; several values of one label and
            lead, as of several seeds, become their mean and a band from lowest to highest.
        metric: Which score, such as ``rrmse``.
        units: Its units; empty for a pure number.
        time_unit: Of the leads, such as ``hours``.
    """
    figure, (ax,) = grid_of_panels(1, 1, 3.0)
    label = metric_of(metric).label
    _lead_lines(ax, scores)
    ax.set_xlabel(f"lead time ({time_unit})")
    ax.set_ylabel(f"{label} ({units})" if units else label)
    headline(figure, _lead_finding(scores, metric, units, time_unit))
    share_legend(figure, ax)
    return figure


@styled
def variable_scores_by_lead(
    scores: pd.DataFrame, metric: str, si_units: bool = True, time_unit: str = "days"
) -> Figure:
    """Draw one score of every variable against lead time, a panel for each variable.

    Args:
        scores: As for `score_by_lead`, with a column ``variable`` of labels.
        metric: Which score, such as ``rmse``.
        si_units: Whether values are in the variables' units, as RMSE is; False for ACC.
        time_unit: Of the leads, such as ``hours``.
    """
    variables = list(dict.fromkeys(scores["variable"]))
    figure, axes = grid_of_panels(len(variables), 3, 1.9, sharex=True)
    name = metric_of(metric).label
    for ax, variable in zip(axes, variables, strict=True):
        shown = display_of(variable)
        part = scores[scores["variable"] == variable]
        part = part.assign(value=part["value"] * (shown.factor if si_units else 1))
        _lead_lines(ax, part)
        ax.set_title(shown.name)
        ax.set_ylabel(f"{name} of {shown.symbol}" + (f" ({shown.units})" if si_units else ""))
    label_below(axes, 3, f"lead time ({time_unit})")
    headline(figure, f"{name} of each variable by lead time")
    share_legend(figure, axes[0])
    return figure


def _lead_lines(ax: Axes, scores: pd.DataFrame) -> None:
    looks = line_looks(model_order(scores["label"]))
    for label, look in looks.items():
        by_lead = scores[scores["label"] == label].groupby("lead")["value"]
        mean = by_lead.mean()
        marker = "o" if len(mean) < 8 else None
        ax.plot(mean.index, mean, label=model_name(label), marker=marker, markersize=3, **look)
        if (by_lead.count() > 1).any():
            band = (by_lead.min(), by_lead.max())
            ax.fill_between(mean.index, *band, color=look["color"], alpha=0.15, linewidth=0)
    ax.set_xlim(left=0)
    ax.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10], integer=True))


def _lead_finding(scores: pd.DataFrame, metric: str, units: str, time_unit: str) -> str:
    about, lead = metric_of(metric), scores["lead"].max()
    last = scores[scores["lead"] == lead].groupby("label")["value"].mean()
    text = f"{about.label} by lead time"
    if about.better is None or len(last) < 2:
        return text
    value = best(last.tolist(), about.better)
    first = {"lower": "lowest", "higher": "highest"}.get(about.better, about.better)
    winner = in_sentence(str(last[last == value].index[0]))
    shown = f"{number(value, decimals_for([value]))} {units}".strip()
    return f"{text}: {first} at {lead:g} {time_unit} is {winner}, {shown}"


@styled
def confusion_matrix(
    counts: NDArray[np.integer[Any]], seasons: Sequence[str], step: StepLength = DAY
) -> Figure:
    """Draw the number of steps by true season (rows) and predicted season (columns).

    Args:
        counts: Steps, shape (true seasons, predicted seasons).
        seasons: Their names, in order.
        step: How long a step is.
    """
    figure = Figure(figsize=(WIDTH / 2, WIDTH / 2), layout="constrained")
    ax = figure.subplots()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if share[row, column] > 0.55 else INK
        text = f"{count}\n{100 * share[row, column]:.0f} %"
        ax.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    ax.set_xticks(range(len(seasons)), seasons)
    ax.set_yticks(range(len(seasons)), seasons)
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set(visible=True, color=FAINT)
    ax.set_xlabel(f"predicted season ({step.nouns}, % of row)")
    ax.set_ylabel("true season")
    correct = f"{100 * np.trace(counts) / counts.sum():.1f} %"
    headline(figure, f"{correct} of {counts.sum()} {step.nouns} classified correctly")
    return figure
