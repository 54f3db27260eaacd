"""A study as a user runs it: killed on the way, continued, with a trial that cannot succeed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from sparta_ray.base.folder import RunFolder
from sparta_ray.studies.folder import epochs_of, was_stopped
from tests.processes import descendants

ROOT = Path(__file__).parents[2]
SMOKE = str(ROOT / "conf/smoke.yaml")
SHORT = [{"kind": "pretrain", "epochs": 4, "lr": 1e-3}, {"kind": "decode", "epochs": 2}]


def write(folder: Path, **content: object) -> Path:
    path = folder / "study.yaml"
    common = {
        "data.store": str(folder / "store.zarr"),
        "training": {"stages": SHORT},
        "downstream": {"diffusion": None, "classification": None},
    }
    tree = {"name": "compared", "folder": str(folder / "runs"), "base": SMOKE, "common": common}
    path.write_text(yaml.safe_dump(tree | content, sort_keys=False))
    return path


def start(path: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, str(ROOT / "jobs/tune_ablations.py"), "--config", str(path)]
    two = sorted(os.sched_getaffinity(0))[:2]  # room for one training at a time
    return subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=lambda: os.sched_setaffinity(0, two),
    )  # fmt: skip


def finish(path: Path) -> tuple[int, str]:
    process = start(path)
    text, _ = process.communicate(timeout=900)
    return process.returncode, text


def starts(run: Path) -> list[tuple[str, int]]:
    """Return where each stage was begun or continued."""
    records = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [(r["stage"], r["position"]) for r in records if r["event"] == "start"]


def await_checkpoint(process: "subprocess.Popen[str]", run: Path) -> None:
    while not list(run.glob("checkpoints/checkpoint_*/state.json")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_a_killed_study_continues_names_what_fails_and_trains_nothing_twice(
    tmp_path: Path,
) -> None:
    plain = {"sampling": {"negatives": False}}
    # Its loss is not finite after the first step: no retry can help.
    hopeless = {"training.stages.0.lr": 1e30}
    look = {"downstream.forecast.lookback3_stride1.look_back": 4}
    variants = {"full": {}, "hopeless": hopeless, "plain": plain, "look": look}
    path = write(tmp_path, seeds=[0], variants=variants)
    folder = tmp_path / "runs/compared"

    killed = start(path)
    await_checkpoint(killed, folder / "plain-seed0")
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    weights = folder / "full-seed0/models/sparta/weights.safetensors"
    written = weights.stat().st_mtime_ns

    code, text = finish(path)
    assert code == 1, text
    assert "1 of 4 trials failed" in text
    assert "plain-seed0 evaluate " in text
    assert "hopeless-seed0: ConfigError: the " in text
    assert "not finite" in text or " is nan " in text or " is inf " in text
    assert weights.stat().st_mtime_ns == written
    assert starts(folder / "full-seed0") == [("pretrain", 0), ("decode", 0)]
    continued = starts(folder / "plain-seed0")
    assert continued[0] == ("pretrain", 0)
    assert any(position > 0 for _, position in continued), continued
    shared = folder / "look-seed0/models/sparta/weights.safetensors"
    assert shared.read_bytes() == weights.read_bytes()
    assert (folder / "errors/hopeless-seed0.txt").exists()
    compared = {row["variant"] for row in json.loads((folder / "summary.json").read_text())}
    assert compared == {"full", "plain", "look"}
    named = {event.parent.name for event in folder.glob("tune/*/*/events.out.tfevents.*")}
    assert {"full-seed0", "plain-seed0", "look-seed0-sparta-forecast-lookback3_stride1-seed0"} <= (
        named
    )


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_a_killed_sweep_continues_and_does_not_take_up_what_it_stopped(tmp_path: Path) -> None:
    space = {"training.stages.0.lr": {"kind": "grid", "values": [1e-3, 1e-12, 2e-12]}}
    asha = {"grace_epochs": 1, "reduction_factor": 2}
    path = write(tmp_path, until="train", sweep={"space": space, "asha": asha})
    folder = tmp_path / "runs/compared"

    killed = start(path)
    await_checkpoint(killed, folder / "lr1e-12-seed0")
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()

    code, text = finish(path)
    assert code == 0, text
    slow = [RunFolder(str(folder / f"lr{rate}-seed0")) for rate in ("1e-12", "2e-12")]
    assert all(was_stopped(run) for run in slow)
    ended = [len(epochs_of(run, "pretrain")) for run in slow]
    assert max(ended) < SHORT[0]["epochs"]
    assert len(epochs_of(RunFolder(str(folder / "lr0.001-seed0")), "pretrain")) == 4

    code, again = finish(path)
    assert code == 0
    assert "train 1/2" not in again  # nothing is trained again
    assert [len(epochs_of(run, "pretrain")) for run in slow] == ended


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_a_sweep_that_is_told_to_stop_is_interrupted_and_continues(tmp_path: Path) -> None:
    space = {"training.stages.0.lr": {"kind": "grid", "values": [1e-3, 2e-3]}}
    path = write(tmp_path, until="train", sweep={"space": space, "asha": {"grace_epochs": 1}})
    folder = tmp_path / "runs/compared"

    stopped = start(path)
    await_checkpoint(stopped, folder / "lr0.001-seed0")
    os.kill(stopped.pid, signal.SIGTERM)
    text, _ = stopped.communicate(timeout=300)
    assert stopped.returncode == 130, text
    assert "interrupted; the same command continues" in text
    runs = [RunFolder(str(folder / f"lr{rate}-seed0")) for rate in ("0.001", "0.002")]
    assert not any(was_stopped(run) for run in runs)

    code, text = finish(path)
    assert code == 0, text
    assert any(position > 0 for _, position in starts(folder / "lr0.001-seed0"))
    for run in runs:
        assert was_stopped(run) or run.exists("models/sparta/model.json")


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_a_training_of_a_study_that_hangs_is_a_failed_trial(tmp_path: Path) -> None:
    hangs = {"training.stall_seconds": 30, "training.stages.0.epochs": 300}
    path = write(tmp_path, seeds=[0], variants={"hangs": hangs}, until="train")
    study, run = start(path), tmp_path / "runs/compared/hangs-seed0"
    await_checkpoint(study, run)
    (builder,) = descendants(study.pid, named="MapWorker")
    os.kill(builder, signal.SIGSTOP)
    text, _ = study.communicate(timeout=300)
    assert study.returncode == 1, text
    assert "hangs-seed0: ConfigError: " in text
    reason = (tmp_path / "runs/compared/errors/hangs-seed0.txt").read_text()
    assert "the builders of rank 0 deliver no batch" in reason
