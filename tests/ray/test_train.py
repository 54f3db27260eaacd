import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sparta_ray.embedder import Embedder
from sparta_ray.evaluation.history import stage_history
from sparta_ray.run import Run
from sparta_ray.run_folder import RunFolder
from sparta_ray.training.checkpoint import load_model
from sparta_ray.training.worker import train


@pytest.fixture(scope="module")
def trained(tiny: Run) -> Run:
    """The tiny run, trained by one worker without interruption."""
    run = replace(tiny, name="whole")
    train(run)
    return run


@pytest.mark.timeout(180)
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


@pytest.mark.timeout(180)
def test_a_killed_worker_is_replaced_and_the_losses_are_the_unbroken_ones(
    tiny: Run, trained: Run
) -> None:
    run = replace(tiny, name="killed")
    history = Path(run.path) / "metrics.jsonl"
    killed = threading.Event()

    def kill_in_stage_two() -> None:
        while not killed.is_set():
            time.sleep(0.05)
            if history.exists() and '"joint"' in history.read_text():
                for pid in _worker_pids():
                    os.kill(pid, signal.SIGKILL)
                    killed.set()

    killer = threading.Thread(target=kill_in_stage_two, daemon=True)
    killer.start()
    train(run)
    assert killed.is_set()
    for stage in run.training.stages:
        ours = stage_history(RunFolder(run.path), stage.kind)
        theirs = stage_history(RunFolder(trained.path), stage.kind)
        torch.testing.assert_close(
            torch.tensor(ours.values), torch.tensor(theirs.values), rtol=1e-6, atol=0
        )
    weights = [load_model(f"{r.path}/models/sparta")[1].state_dict() for r in (run, trained)]
    torch.testing.assert_close(*weights)


@pytest.mark.timeout(180)
def test_two_gloo_workers_train_all_stages(tiny: Run, trained: Run) -> None:
    run = replace(tiny, name="two", scaling=replace(tiny.scaling, num_workers=2))
    train(run)
    ours = stage_history(RunFolder(run.path), "pretrain")
    theirs = stage_history(RunFolder(trained.path), "pretrain")
    assert len(ours) == len(theirs)
    # Batch norms use each rank's own rows, so the losses are near, not equal.
    assert ours["validation_nt_xent"].iloc[-1] == pytest.approx(
        theirs["validation_nt_xent"].iloc[-1], rel=0.1
    )
    Embedder.from_pretrained(run.path)


def test_a_finished_run_is_not_trained_again(trained: Run) -> None:
    before = Path(trained.path, "metrics.jsonl").read_bytes()
    began = time.monotonic()
    train(trained)
    assert time.monotonic() - began < 2
    assert Path(trained.path, "metrics.jsonl").read_bytes() == before


def _worker_pids() -> list[int]:
    """Return the processes that train, by the name Ray gives them."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                name = (process / "cmdline").read_bytes()
            except OSError:  # it has ended since
                continue
            if b"RayTrainWorker" in name:
                found.append(int(process.name))
    return found
