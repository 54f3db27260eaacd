"""Evaluate a run: every model and task on the downstream test days, beside its baselines."""

import math
import time
from collections.abc import Callable
from functools import partial

import torch

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.base.progress import ProgressLine, ShowProgress, clock
from sparta_ray.evaluation.embeddings import evaluate_embeddings, evaluate_pairs, evaluate_probes
from sparta_ray.evaluation.forecasting import (
    evaluate_forecast,
    evaluate_forecast_baselines,
    evaluate_forecast_floor,
)
from sparta_ray.evaluation.generation import evaluate_diffusion, evaluate_diffusion_floor
from sparta_ray.evaluation.published_results import beside_published
from sparta_ray.evaluation.reconstruction import evaluate_reconstruction
from sparta_ray.evaluation.results import Results, is_evaluated, save_results
from sparta_ray.evaluation.robustness import evaluate_robustness
from sparta_ray.evaluation.seasons import evaluate_classification, majority_accuracy
from sparta_ray.evaluation.setup import Setup
from sparta_ray.metrics.records import Subject
from sparta_ray.run.cost import training_cost
from sparta_ray.run.history import last_validation
from sparta_ray.run.settings import Run
from sparta_ray.run.tasks import Trial, is_finished, trials
from sparta_ray.training.stages import ModelKind

Part = tuple[str, Callable[[], Results]]


def show_here(label: str, done: int, total: int, text: str) -> None:
    """Show in this process how far an evaluation has come."""
    ProgressLine(label, every=0.0).show(done, total, text)


def evaluate(run: Run, show: ShowProgress = show_here) -> None:
    """Evaluate a trained run, unless that was done, and leave the results in its folder.

    Args:
        run: Whose models and tasks.
        show: Told of every part that begins, and of the end.

    Raises:
        ConfigError: A downstream trial is not finished.
    """
    folder = RunFolder(run.path)
    if is_evaluated(folder, run.evaluation):
        return
    unfinished = [trial.name for trial in trials(run) if not is_finished(folder, trial)]
    if unfinished:
        raise ConfigError(
            f"{len(unfinished)} downstream trials are not finished, such as {unfinished[0]}; run "
            "jobs/train_downstream.py first"
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    parts = _parts(Setup(run, device))
    began = time.monotonic()
    total = Results()
    for done, (name, part) in enumerate(parts):
        eta = (time.monotonic() - began) / done * (len(parts) - done) if done else None
        text = name if eta is None else f"{name} | eta {clock(eta)}"
        show("evaluate", done, len(parts), text)
        total.extend(part())
    total.scores = beside_published(total.scores, run)
    save_results(folder, run.evaluation, total)
    show("evaluate", len(parts), len(parts), f"done in {clock(time.monotonic() - began)}")


def _parts(setup: Setup) -> list[Part]:
    """Return every part of the evaluation by name."""
    run = setup.run
    parts: list[Part] = [
        ("contrastive", partial(_contrastive, run)),
        ("reconstruction", partial(evaluate_reconstruction, setup)),
    ]
    for kind in run.models:
        for name, evaluate_part in (
            ("embeddings", evaluate_embeddings),
            ("probes", evaluate_probes),
            ("pairs", evaluate_pairs),
            ("robustness", evaluate_robustness),
            ("cost", _cost),
        ):
            parts.append((f"{name} {kind}", partial(evaluate_part, setup, kind)))
        for setting in run.downstream.forecast:
            floor = partial(evaluate_forecast_floor, setup, kind, setting)
            parts.append((f"floor {kind} {setting}", floor))
        if run.downstream.diffusion is not None:
            parts.append(
                (f"floor {kind} diffusion", partial(evaluate_diffusion_floor, setup, kind))
            )
    for setting in run.downstream.forecast:
        parts.append((f"baselines {setting}", partial(evaluate_forecast_baselines, setup, setting)))
    if run.downstream.classification is not None:
        parts.append(("baseline classification", partial(_majority, setup)))
    parts.extend((trial.name, partial(_trial, setup, trial)) for trial in trials(run))
    return parts


def _cost(setup: Setup, kind: ModelKind) -> Results:
    store = setup.store
    return Results(costs={kind: training_cost(setup.run, kind, len(store), store.grid)})


def _majority(setup: Setup) -> Results:
    subject = Subject("classification", "majority")
    return Results([subject.score("accuracy", majority_accuracy(setup))])


def _trial(setup: Setup, trial: Trial) -> Results:
    match trial.task:
        case "forecast":
            return evaluate_forecast(setup, trial)
        case "diffusion":
            return evaluate_diffusion(setup, trial)
        case "classification":
            return evaluate_classification(setup, trial)


def _contrastive(run: Run) -> Results:
    """Score the last validation NT-Xent of the contrastive stages, a pair of views each."""
    results = Results()
    guessing = math.log(2 * run.sampling.rows_per_full_batch - 1)
    for stage in run.training.stages:
        value = last_validation(RunFolder(run.path), stage.kind, "nt_xent")
        if value is not None:
            subject = Subject("contrastive", f"sparta after {stage.kind}")
            results.scores.append(subject.score("nt_xent", value / 2))
            results.scores.append(subject.score("guessing", guessing))
    return results
