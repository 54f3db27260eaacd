"""The downstream trials of a run: which there are, how each is trained, and how all ended."""

from collections.abc import Iterator

import torch
from torch import nn

from sparta_ray.base.folder import RunFolder
from sparta_ray.base.mean_and_std import Key, mean_and_std, write_table
from sparta_ray.base.seeding import derive_seed
from sparta_ray.data.preparation.streaming import open_store
from sparta_ray.downstream.latents import Latents
from sparta_ray.downstream.training import OnEpoch
from sparta_ray.embedder import Embedder
from sparta_ray.run.history import last_epoch
from sparta_ray.run.settings import Run
from sparta_ray.run.trial import Trial, is_finished, load_weights
from sparta_ray.tasks.registry import DOWNSTREAM_TASKS, task_named
from sparta_ray.tasks.task import TaskConfig, Training


def trials(run: Run) -> list[Trial]:
    """Return every trial of a run: models x tasks and settings x seeds."""
    return [
        trial
        for model in run.models
        for task in DOWNSTREAM_TASKS
        for trial in task.trials(run, model)
    ]


def task_config(run: Run, trial: Trial) -> TaskConfig:
    """Return the settings that a trial is trained with."""
    return task_named(trial.task).settings(run)[trial.setting]


def fresh_model(run: Run, trial: Trial) -> nn.Module:
    """Return a trial's model with fresh weights."""
    return task_named(trial.task).network(run, trial.setting)


def load_trial(folder: RunFolder, run: Run, trial: Trial) -> nn.Module:
    """Read a finished trial's model, in eval mode."""
    return load_weights(folder, trial, fresh_model(run, trial))


def train_trial(run: Run, trial: Trial, on_epoch: OnEpoch, device: torch.device) -> nn.Module:
    """Train a trial on the downstream training days, watching the validation days."""
    latents = Latents(
        Embedder.from_pretrained(run.path, trial.model, device),
        open_store(run.data.store, run.data.cache),
        derive_seed(run.seed, "downstream", trial.seed),
    )
    return task_named(trial.task).train(Training(run, trial, latents, on_epoch))


_HEADINGS = ("model", "task", "setting", "loss")


def write_summary(run: Run, folder: RunFolder) -> str:
    """Write ``downstream/summary.md``, ``.csv`` and ``.json``; return the table as Markdown."""
    table = mean_and_std(_HEADINGS, _last_losses(run, folder))
    return write_table(folder, "downstream/summary", table)


def _last_losses(run: Run, folder: RunFolder) -> Iterator[tuple[Key, float]]:
    """Yield the last epoch's losses of every finished trial."""
    for trial in trials(run):
        if is_finished(folder, trial):
            last = last_epoch(folder, trial.folder)
            for name, value in last.items():
                if name.endswith("loss"):
                    yield (trial.model, trial.task, trial.setting, name), value
