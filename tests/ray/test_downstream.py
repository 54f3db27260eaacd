from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sparta_ray.data.store import Store
from sparta_ray.downstream.trial import Trial, load_trial, trials
from sparta_ray.downstream.trials import train_downstream
from sparta_ray.models.sparta import parameter_count
from sparta_ray.run import Run
from sparta_ray.run_folder import RunFolder
from sparta_ray.training.checkpoint import ModelCard, save_model


@pytest.fixture
def with_models(tiny: Run, tiny_store: Store, tmp_path: Path) -> Run:
    """A run whose models are there, if untrained: the tasks need no good embeddings."""
    run = replace(tiny, folder=str(tmp_path))
    torch.manual_seed(0)
    for kind in run.models:
        card = ModelCard.describe(kind, run.model, run.views, tiny_store)
        save_model(f"{run.path}/models/{kind}", card, card.build().state_dict())
    return run


@pytest.mark.timeout(120)
def test_every_trial_of_the_grid_leaves_a_model(with_models: Run) -> None:
    run = replace(with_models, downstream=replace(with_models.downstream, seeds=(0, 1)))
    assert len(trials(run)) == 2 * 3 * 2
    train_downstream(run)
    folder = RunFolder(run.path)
    for trial in trials(run):
        assert parameter_count(load_trial(folder, run, trial)) > 0
        history = folder.read_records(f"{trial.folder}-history.jsonl")
        assert [record["epoch"] for record in history] == [0, 1]


@pytest.mark.timeout(120)
def test_a_failing_trial_is_named_and_the_others_are_kept(with_models: Run) -> None:
    broken = Path(with_models.path, "models", "autoencoder", "weights.safetensors")
    broken.write_bytes(b"nothing of use")
    with pytest.raises(RuntimeError, match="autoencoder-forecast-lookback3_stride1-seed0"):
        train_downstream(with_models)
    folder = RunFolder(with_models.path)
    load_trial(folder, with_models, Trial("sparta", "diffusion", "", 0))
