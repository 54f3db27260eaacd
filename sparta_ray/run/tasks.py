"""One downstream training: a task, in one setting, on one model's embeddings, with one seed."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import nn

from sparta_ray.base.folder import RunFolder
from sparta_ray.base.mean_and_std import Key, mean_and_std, write_table
from sparta_ray.base.seeding import derive_seed
from sparta_ray.data.plan.seasons import season_of
from sparta_ray.data.plan.splits import Split, SplitName
from sparta_ray.data.preparation.streaming import open_store
from sparta_ray.data.store.store import Store
from sparta_ray.downstream.classification import (
    ClassificationConfig,
    SeasonClassifier,
    train_classifier,
)
from sparta_ray.downstream.forecast.anomaly_regression import AnomalyRegressionConfig
from sparta_ray.downstream.forecast.anomaly_training import KnownDays, train_anomaly_regression
from sparta_ray.downstream.forecast.forecast import ForecastConfig, build_forecaster
from sparta_ray.downstream.forecast.lstm import LSTMForecastConfig, train_lstm_forecaster
from sparta_ray.downstream.forecast.seasonal_cycle import year_phase
from sparta_ray.downstream.generation.diffusion import (
    DiffusionConfig,
    LatentDiffusion,
    train_diffusion,
)
from sparta_ray.downstream.latents import Latents
from sparta_ray.downstream.training import OnEpoch
from sparta_ray.embedder import Embedder
from sparta_ray.run.settings import Run, downstream_splits
from sparta_ray.training.stages import ModelKind

Task = Literal["forecast", "diffusion", "classification"]


@dataclass(frozen=True)
class Trial:
    """What one trial trains.

    Attributes:
        model: Whose embeddings.
        task: What is learnt from them.
        setting: Name of the forecast setting; empty for the other tasks.
        seed: Of its weights, batches and masks.
    """

    model: ModelKind
    task: Task
    setting: str
    seed: int

    @property
    def name(self) -> str:
        """A readable name, unique in a run."""
        return "-".join(filter(None, [self.model, self.task, self.setting, f"seed{self.seed}"]))

    @property
    def folder(self) -> str:
        """Where its model lies in the run folder."""
        return f"downstream/{self.name}"


def trials(run: Run) -> list[Trial]:
    """Return every trial of a run: models x tasks and settings x seeds."""
    return [
        Trial(model, task, setting, seed)
        for model in run.models
        for task, setting in _tasks(run)
        for seed in run.downstream.seeds
    ]


def _tasks(run: Run) -> Iterator[tuple[Task, str]]:
    for setting in run.downstream.forecast:
        yield "forecast", setting
    if run.downstream.diffusion is not None:
        yield "diffusion", ""
    if run.downstream.classification is not None:
        yield "classification", ""


def task_config(run: Run, trial: Trial) -> ForecastConfig | DiffusionConfig | ClassificationConfig:
    """Return the settings that a trial is trained with."""
    downstream = run.downstream
    config = {
        "forecast": downstream.forecast.get(trial.setting),
        "diffusion": downstream.diffusion,
        "classification": downstream.classification,
    }[trial.task]
    assert config is not None
    return config


def fresh_model(run: Run, trial: Trial) -> nn.Module:
    """Return a trial's model with fresh weights."""
    downstream, embedding = run.downstream, run.model.embedding
    match trial.task:
        case "forecast":
            store = open_store(run.data.store)
            points = len(store.variables) * math.prod(store.grid)
            return build_forecaster(embedding, points, downstream.forecast[trial.setting])
        case "diffusion":
            assert downstream.diffusion is not None
            return LatentDiffusion(embedding, downstream.diffusion)
        case "classification":
            assert downstream.classification is not None
            return SeasonClassifier(embedding, downstream.classification)


def train_trial(run: Run, trial: Trial, on_epoch: OnEpoch, device: torch.device) -> nn.Module:
    """Train a trial on the downstream training days, watching the validation days."""
    store = open_store(run.data.store, run.data.cache)
    latents = Latents(
        Embedder.from_pretrained(run.path, trial.model, device),
        store,
        derive_seed(run.seed, "downstream", trial.seed),
    )
    parts = downstream_splits(run, len(store))
    seed = derive_seed(run.seed, "trial", trial.task, trial.seed)
    match trial.task:
        case "forecast":
            return _train_forecaster(run, trial, latents, parts, seed, on_epoch)
        case "diffusion":
            return _train_diffusion(run, latents, parts, seed, on_epoch)
        case "classification":
            return _train_classifier(run, latents, parts, seed, on_epoch)


def _train_forecaster(
    run: Run,
    trial: Trial,
    latents: Latents,
    parts: dict[SplitName, Split],
    seed: int,
    on_epoch: OnEpoch,
) -> nn.Module:
    mask = run.downstream.mask
    train = latents.of_epochs(parts["train"], mask, "train")
    validation = latents.masked(parts["validation"], mask, "validation").to(latents.embedder.device)
    match config := run.downstream.forecast[trial.setting]:
        case LSTMForecastConfig():
            return train_lstm_forecaster(train, validation, config, seed, on_epoch)
        case AnomalyRegressionConfig():
            known, known_too = (
                _known(latents.store, parts[name], config) for name in ("train", "validation")
            )
            return train_anomaly_regression(
                train, known, validation, known_too, config, seed, on_epoch
            )


def _known(store: Store, part: Split, config: AnomalyRegressionConfig) -> KnownDays:
    """Return the season of a split's days, and their fields if those are to be forecast."""
    days = np.arange(part.start, part.stop)
    fields_TG = None
    if config.target == "fields":
        fields_TG = torch.from_numpy(store.read_standardised(days)).flatten(1)
    return KnownDays(year_phase(store.days[days]), fields_TG)


def _train_diffusion(
    run: Run, latents: Latents, parts: dict[SplitName, Split], seed: int, on_epoch: OnEpoch
) -> nn.Module:
    assert run.downstream.diffusion is not None
    mask, device = run.downstream.mask, latents.embedder.device
    return train_diffusion(
        latents.of_epochs(parts["train"], mask, "train"),
        latents.whole(parts["train"]).to(device),
        (
            latents.masked(parts["validation"], mask, "validation").to(device),
            latents.whole(parts["validation"]).to(device),
        ),
        run.downstream.diffusion,
        seed,
        on_epoch,
    )


def _train_classifier(
    run: Run, latents: Latents, parts: dict[SplitName, Split], seed: int, on_epoch: OnEpoch
) -> nn.Module:
    assert run.downstream.classification is not None
    mask, device = run.downstream.classification_mask, latents.embedder.device
    labels = {
        name: torch.from_numpy(season_of(latents.store.days[part.start : part.stop])).to(device)
        for name, part in parts.items()
    }
    return train_classifier(
        latents.of_epochs(parts["train"], mask, "train"),
        labels["train"],
        (latents.masked(parts["validation"], mask, "validation").to(device), labels["validation"]),
        run.downstream.classification,
        seed,
        on_epoch,
    )


def save_trial(folder: RunFolder, trial: Trial, model: nn.Module) -> None:
    """Write a finished trial; its record comes last and makes it count."""
    weights = {
        name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()
    }
    folder.write(f"{trial.folder}/weights.safetensors", save_safetensors(weights))
    folder.write(f"{trial.folder}/trial.json", json.dumps(asdict(trial), indent=1))


def is_finished(folder: RunFolder, trial: Trial) -> bool:
    """Return whether a trial's finished model lies in the run folder."""
    return folder.exists(f"{trial.folder}/trial.json")


def load_trial(folder: RunFolder, run: Run, trial: Trial) -> nn.Module:
    """Read a finished trial's model, in eval mode."""
    model = fresh_model(run, trial)
    model.load_state_dict(
        load_safetensors(folder.read_bytes(f"{trial.folder}/weights.safetensors"))
    )
    return model.eval()


_HEADINGS = ("model", "task", "setting", "loss")


def write_summary(run: Run, folder: RunFolder) -> str:
    """Write ``downstream/summary.md``, ``.csv`` and ``.json``; return the table as Markdown."""
    table = mean_and_std(_HEADINGS, _last_losses(run, folder))
    return write_table(folder, "downstream/summary", table)


def _last_losses(run: Run, folder: RunFolder) -> Iterator[tuple[Key, float]]:
    """Yield the last epoch's losses of every finished trial."""
    for trial in trials(run):
        if is_finished(folder, trial):
            last = folder.read_records(f"{trial.folder}-history.jsonl")[-1]
            for name, value in last.items():
                if name.endswith("loss"):
                    yield (trial.model, trial.task, trial.setting, name), value
