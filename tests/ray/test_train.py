import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from sparta_ray.base.errors import ConfigError, FailedError
from sparta_ray.base.folder import RunFolder
from sparta_ray.data.preparation.facts import inspect_data
from sparta_ray.data.store.block_cache import CacheConfig
from sparta_ray.embedder import Embedder
from sparta_ray.on_ray.prepare import prepare
from sparta_ray.on_ray.train import train
from sparta_ray.run.history import stage_history
from sparta_ray.run.replay import Failure, replay
from sparta_ray.run.settings import Run
from sparta_ray.training.model_card import load_model
from tests.processes import descendants


@pytest.fixture(scope="module")
def two_stages(tiny: Run) -> Run:
    """The tiny run with a stage for each model; tests of the jobs train all four."""
    _, joint, _, autoencoder = tiny.training.stages
    return replace(tiny, training=replace(tiny.training, stages=(joint, autoencoder)))


@pytest.fixture(scope="module")
def trained(two_stages: Run) -> Run:
    """The two stages, trained by one worker without interruption."""
    run = replace(two_stages, name="whole")
    train(run)
    return run


@pytest.mark.timeout(360)
def test_one_fit_trains_every_stage_and_leaves_both_models(trained: Run) -> None:
    folder = RunFolder(trained.path)
    for stage in trained.training.stages:
        history = stage_history(folder, stage.kind)
        assert history["epoch"].tolist() == list(range(stage.epochs))
        assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0]
    for kind in ("sparta", "autoencoder"):
        card, model = load_model(folder.child("models", kind))
        assert card.kind == kind
        assert not model.training


@pytest.mark.faults
@pytest.mark.timeout(400)
def test_stopped_continued_and_a_worker_killed_the_losses_are_the_unbroken_ones(
    two_stages: Run, trained: Run
) -> None:
    training = replace(two_stages.training, checkpoint_every_steps=10)
    run = replace(two_stages, name="killed", training=training)
    handler = signal.getsignal(signal.SIGTERM)
    _when(run, '"event": "step"', lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        train(run)
    assert signal.getsignal(signal.SIGTERM) is handler
    history = RunFolder(run.path).read_records("metrics.jsonl")
    assert {record["stage"] for record in history} == {"joint"}
    stopped_at = max(record.get("position", 0) for record in history)

    killed = _when(run, '"autoencoder"', _kill_worker)
    train(run)
    assert killed.is_set()
    history = RunFolder(run.path).read_records("metrics.jsonl")[len(history) :]
    assert history[0]["event"] == "start"
    assert history[0]["position"] >= stopped_at > 0
    for stage in run.training.stages:
        ours = stage_history(RunFolder(run.path), stage.kind)
        theirs = stage_history(RunFolder(trained.path), stage.kind)
        torch.testing.assert_close(
            torch.tensor(ours.values), torch.tensor(theirs.values), rtol=1e-6, atol=0
        )
    weights = [load_model(f"{r.path}/models/sparta")[1].state_dict() for r in (run, trained)]
    torch.testing.assert_close(*weights)


@pytest.mark.timeout(360)
def test_two_gloo_workers_train_a_stage_and_both_end_where_the_next_one_explodes(
    two_stages: Run, trained: Run
) -> None:
    joint, autoencoder = two_stages.training.stages
    training = replace(two_stages.training, stages=(joint, replace(autoencoder, lr=1e30)))
    scaling = replace(two_stages.scaling, num_workers=2)
    run = replace(two_stages, name="two", training=training, scaling=scaling)
    message = r"of stage autoencoder: lower its lr.* rows are of 19.*python jobs/replay\.py "
    with pytest.raises(ConfigError, match=message) as caught:
        train(run)

    ours = stage_history(RunFolder(run.path), "joint")
    theirs = stage_history(RunFolder(trained.path), "joint")
    assert len(ours) == len(theirs)
    # In float32 two orders of adding part ways step by step; tests/distributed is exact.
    first = [history["train_nt_xent"].iloc[0] for history in (ours, theirs)]
    assert first[0] == pytest.approx(first[1], rel=0.01)
    Embedder.from_pretrained(run.path)

    starts = [r for r in RunFolder(run.path).read_records("metrics.jsonl") if r["event"] == "start"]
    assert len(starts) == 2  # one for each stage: it was not tried again
    (file,) = Path(run.path, "failures").iterdir()
    assert str(file) in str(caught.value)
    failure = Failure.read(str(file))
    assert len(failure.days) == len(failure.batch["day"]) == failure.batch["global_rows"][0]
    lines = list(replay(failure))
    assert any("nan" in line or "inf" in line for line in lines[1:])


@pytest.mark.timeout(360)
def test_training_from_the_source_has_the_losses_of_training_from_the_store(
    two_stages: Run, trained: Run, tmp_path: Path
) -> None:
    """No field is kept: builders read the source's days while the model trains on them."""
    store, cache = tmp_path / "store.zarr", CacheConfig(folder=str(tmp_path / "cache"))
    data = replace(two_stages.data, mode="stream", cache=cache, store=str(store))
    prepare(inspect_data(data))
    assert not (store / "fields").exists()
    stages = two_stages.training.stages[:1]
    run = replace(two_stages, name="streamed", data=data)
    train(replace(run, training=replace(run.training, stages=stages)))
    ours = stage_history(RunFolder(run.path), stages[0].kind)
    assert len(ours) == stages[0].epochs
    pd.testing.assert_frame_equal(ours, stage_history(RunFolder(trained.path), stages[0].kind))


def test_a_finished_run_is_not_trained_again(trained: Run) -> None:
    before = Path(trained.path, "metrics.jsonl").read_bytes()
    train(trained)
    assert Path(trained.path, "metrics.jsonl").read_bytes() == before


def _when(run: Run, text: str, act: Callable[[], object]) -> threading.Event:
    """Act once, as soon as a text stands in a run's history; the event tells that it has."""
    history, done = Path(run.path) / "metrics.jsonl", threading.Event()

    def watch() -> None:
        while not (history.exists() and text in history.read_text()):
            time.sleep(0.05)
        act()
        done.set()

    threading.Thread(target=watch, daemon=True).start()
    return done


def _kill_worker() -> None:
    for process in descendants(os.getpid(), named="RayTrainWorker"):
        os.kill(process, signal.SIGKILL)


@pytest.mark.timeout(240)
def test_workers_that_fail_too_often_end_in_words(two_stages: Run, tmp_path: Path) -> None:
    store = tmp_path / "damaged.zarr"
    shutil.copytree(two_stages.data.store, store)
    shard = store / "fields/c/0/0/0/0"
    shard.write_bytes(shard.read_bytes()[:1000])
    run = replace(
        two_stages,
        name="damaged",
        data=replace(two_stages.data, store=str(store)),
        scaling=replace(two_stages.scaling, max_failures=0),
    )
    with pytest.raises(FailedError) as failed:
        train(run)
    said = str(failed.value)
    assert "training failed more than 0 times (scaling.max_failures); once the cause is" in said
    assert f"cannot read the store {store}: " in said.rpartition("The last cause:\n  rank 0: ")[2]
