from pathlib import Path

import pytest

from sparta_ray.base.folder import RunFolder
from sparta_ray.models.sparta import parameter_count
from sparta_ray.on_ray.downstream import train_downstream
from sparta_ray.run.settings import Run
from sparta_ray.run.trial import Trial
from sparta_ray.tasks.trials import load_trial, trials


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
