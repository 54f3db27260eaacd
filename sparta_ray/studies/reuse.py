"""Trained models that a second trial uses as they are."""

from sparta_ray.run import Run
from sparta_ray.run_folder import RunFolder
from sparta_ray.training.checkpoint import is_trained
from sparta_ray.training.reporter import HISTORY


def adopt_models(source: Run, target: Run) -> None:
    """Copy the models of one run, and the records of their training, into another's folder.

    Each run folder then stands on its own. What counts as finished, a model's card, comes last.
    """
    ours, theirs = RunFolder(target.path), RunFolder(source.path)
    if is_trained(target) or not is_trained(source):
        return
    ours.write(HISTORY, theirs.read(HISTORY))
    for kind in source.models:
        for file in ("weights.safetensors", "model.json"):
            name = f"models/{kind}/{file}"
            ours.write(name, theirs.read_bytes(name))
