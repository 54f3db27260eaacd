"""All parts of a run's evaluation in their order, and what the results of each follow from."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from sparta_ray.base.config import differences, to_tree
from sparta_ray.base.folder import RunFolder
from sparta_ray.data.preparation.streaming import open_store
from sparta_ray.evaluation.contrastive import evaluate_contrastive
from sparta_ray.evaluation.embeddings import evaluate_embeddings, evaluate_pairs, evaluate_probes
from sparta_ray.evaluation.part import Part
from sparta_ray.evaluation.reconstruction import evaluate_reconstruction
from sparta_ray.evaluation.results import Inputs, Results
from sparta_ray.evaluation.robustness import evaluate_robustness
from sparta_ray.evaluation.setup import Setup
from sparta_ray.run.cost import training_cost
from sparta_ray.run.ownership import FREE_TO_CHANGE
from sparta_ray.run.settings import Run
from sparta_ray.tasks.registry import DOWNSTREAM_TASKS, task_named
from sparta_ray.tasks.trials import trials
from sparta_ray.training.stages import ModelKind

_DOWNSTREAM = ("split", "mask", "classification_mask")
"""Settings of the downstream tasks that all parts look at; those of a task are a part's own.

A new key of `DownstreamConfig` that no single task owns belongs here, or parts would look up to
date after it changed."""


def evaluate_cost(setup: Setup, kind: ModelKind) -> Results:
    """Return what a model took to train."""
    store = setup.store
    return Results(costs={kind: training_cost(setup.run, kind, len(store), store.grid)})


_OF_EVERY_MODEL: Mapping[str, Callable[[Setup, ModelKind], Results]] = {
    "embeddings": evaluate_embeddings,
    "probes": evaluate_probes,
    "pairs": evaluate_pairs,
    "robustness": evaluate_robustness,
    "cost": evaluate_cost,
}


def _of_model(
    evaluate: Callable[[Setup, ModelKind], Results], kind: ModelKind
) -> Callable[[Setup], Results]:
    return lambda setup: evaluate(setup, kind)


def parts_of(run: Run) -> list[Part]:
    """Return every part of a run's evaluation, in the order of its results."""
    parts = [
        Part("contrastive", evaluate_contrastive, run.models),
        Part("reconstruction", evaluate_reconstruction, run.models),
    ]
    for kind in run.models:
        for name, evaluate in _OF_EVERY_MODEL.items():
            parts.append(Part(f"{name} {kind}", _of_model(evaluate, kind), (kind,)))
        for task in DOWNSTREAM_TASKS:
            parts += task.bounds(run, kind)
    for task in DOWNSTREAM_TASKS:
        parts += task.baselines(run)
    parts += (task_named(trial.task).part(run, trial) for trial in trials(run))
    assert len({part.name for part in parts}) == len(parts), "two parts have the same name"
    return parts


def inputs_of(run: Run, parts: list[Part]) -> dict[str, Inputs]:
    """Return what the results of each part follow from, by the part's name.

    Results are out of date once their inputs have changed: the settings of the evaluation or of the
    run, the data, or the weights of a model that was scored.
    """
    folder, known = RunFolder(run.path), dict[str, str]()

    def digest_of(file: str) -> str:
        if file not in known:
            known[file] = _digest(folder.read_bytes(file))
        return known[file]

    shared = {
        "evaluation": to_tree(run.evaluation),
        "run": _digest_of_settings(run),
        "data": open_store(run.data.store).fingerprint,
    }
    found: dict[str, Inputs] = {}
    for part in parts:
        files = [f"models/{kind}/weights.safetensors" for kind in part.models]
        files += [part.trial.weights_file] if part.trial else []
        weights = {file: digest_of(file) for file in files}
        found[part.name] = {**shared, "task": dict(part.settings), "weights": weights}
    return found


def _digest_of_settings(run: Run) -> str:
    tree: dict[str, Any] = to_tree(run)
    tree["downstream"] = {name: tree["downstream"][name] for name in _DOWNSTREAM}
    lines = differences({}, tree, (*FREE_TO_CHANGE, "name"))
    return _digest("\n".join(lines).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
