from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sparta_ray.base.folder import RunFolder
from sparta_ray.data.store.store import Store
from sparta_ray.models.sparta import parameter_count
from sparta_ray.on_ray.downstream import train_downstream
from sparta_ray.run.settings import Run
from sparta_ray.run.trial import Trial
from sparta_ray.tasks.trials import load_trial, trials
from sparta_ray.training.model_card import ModelCard, save_model


@pytest.fixture
def with_models(tiny: Run, tiny_store: Store, tmp_path: Path) -> Run:
    """A run whose models are there, if untrained: the tasks need no good embeddings."""
    run = replace(tiny, folder=str(tmp_path))
    torch.manual_seed(0)
    for kind in run.models:
        card = ModelCard.describe(kind, run.model, run.views, tiny_store)
        save_model(f"{run.path}/models/{kind}", card, card.build().state_dict())
    return run


@pytest.mark.timeout(360)
def test_a_failing_trial_is_named_the_others_are_kept_and_the_next_run_does_the_rest(
    with_models: Run,
) -> None:
    run = with_models
    assert len(trials(run)) == 2 * 3
    weights = Path(run.path, "models", "autoencoder", "weights.safetensors")
    sound = weights.read_bytes()
    weights.write_bytes(b"nothing of use")
    with pytest.raises(RuntimeError, match="autoencoder-forecast-lookback3_stride1-seed0"):
        train_downstream(run)
    folder = RunFolder(run.path)
    kept = Path(run.path, Trial("sparta", "diffusion", "", 0).folder, "weights.safetensors")
    written = kept.stat().st_mtime_ns

    weights.write_bytes(sound)
    train_downstream(run)
    assert kept.stat().st_mtime_ns == written
    for trial in trials(run):
        assert parameter_count(load_trial(folder, run, trial)) > 0
        history = folder.read_records(f"{trial.folder}-history.jsonl")
        assert [record["epoch"] for record in history] == [0, 1]
