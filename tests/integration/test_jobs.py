"""The jobs, used as a user would: as commands, on a Ray of their own."""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import ray

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "conf" / "smoke.yaml")


def job(
    name: str, folder: Path, *arguments: str, config: str = TINY, wait: bool = True
) -> "subprocess.Popen[str]":
    """Start a job whose runs and store lie in `folder`."""
    command = [
        sys.executable, str(ROOT / "jobs" / name), "--config", config,
        "--set", f"folder={folder}/runs", "--set", f"data.store={folder}/store.zarr", *arguments,
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if wait:
        process.wait(timeout=500)
    return process


def job_here(
    name: str, folder: Path, arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> int:
    """Run a job in this process, which spares the imports; return its exit code."""
    monkeypatch.chdir(ROOT)
    command = [
        name, "--config", TINY, "--set", f"folder={folder}/runs",
        "--set", f"data.store={folder}/store.zarr", *arguments,
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", command)
    try:
        runpy.run_path(str(ROOT / "jobs" / name), run_name="__main__")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 1
    return 0


def output(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.read()


def sets(*changes: str) -> Sequence[str]:
    return [part for change in changes for part in ("--set", change)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the tiny run was interrupted by Ctrl-C, and then finished."""
    folder = tmp_path_factory.mktemp("jobs")
    first = job("train_sparta.py", folder, wait=False)
    while not list(folder.glob("runs/smoke/checkpoints/checkpoint_*/state.json")):
        assert first.poll() is None, output(first)
        time.sleep(0.1)
    first.send_signal(signal.SIGINT)
    assert first.wait(timeout=90) == 130, output(first)  # in seconds, on an idle machine
    assert "the same command continues" in output(first)

    second = job("train_sparta.py", folder)
    text = output(second)
    assert second.returncode == 0, text
    assert text.rstrip().endswith("report/index.html")
    (folder / "output.txt").write_text(text)
    return folder


@pytest.mark.timeout(600)
def test_an_interrupted_run_continues_and_ends_with_a_report(finished: Path) -> None:
    run = finished / "runs/smoke"
    starts = [
        (record["stage"], record["position"])
        for record in map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
        if record["event"] == "start"
    ]
    fresh = [(stage, 0) for stage in ("pretrain", "joint", "decode", "autoencoder")]
    assert [start for start in starts if start[1] == 0] == fresh
    assert any(position > 0 for _, position in starts)  # where it was continued
    page = (run / "report/index.html").read_text()
    assert "Forecast" in page
    metrics = json.loads((run / "report/metrics.json").read_text())
    tasks = {score["task"] for score in metrics["scores"]}
    assert tasks == {
        "contrastive", "reconstruction", "forecast", "diffusion", "classification", "latent space",
    }  # fmt: skip


@pytest.mark.timeout(600)
def test_little_is_printed_beside_the_progress(finished: Path) -> None:
    lines = (finished / "output.txt").read_text().splitlines()
    links = ("prepare", "train", "downstream", "evaluate", "report")
    others = [line for line in lines if not line.startswith(links)]
    assert len(others) < 40, "\n".join(others)
    assert any(line.startswith("train 2/4 joint") and "wait" in line for line in lines)


@pytest.mark.timeout(600)
def test_a_finished_run_only_writes_its_report_again(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = [finished / "runs/smoke" / name for name in ("metrics.jsonl", "evaluation/scores.json")]
    written = [file.stat().st_mtime_ns for file in kept]
    assert job_here("train_sparta.py", finished, (), monkeypatch) == 0
    assert [file.stat().st_mtime_ns for file in kept] == written
    first, then, last = capsys.readouterr().out.splitlines()
    assert first.startswith("train: finished before")
    assert then == "report: drawing figures and tables"
    assert last.endswith("index.html")
    assert not ray.is_initialized()


@pytest.mark.timeout(600)
def test_each_link_is_a_job_of_its_own(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (finished / "runs/smoke/evaluation/scores.json").unlink()
    assert job_here("report.py", finished, (), monkeypatch) == 2
    assert "not evaluated; run jobs/evaluate.py first" in capsys.readouterr().err
    for name in ("prepare_data.py", "train_downstream.py", "evaluate.py"):
        assert job_here(name, finished, (), monkeypatch) == 0
    assert job_here("report.py", finished, ("--dry-run",), monkeypatch) == 0
    said = capsys.readouterr().out
    assert "prepare: finished before; the store is " in said
    assert "downstream: finished before; " in said
    assert "evaluate 24/24 done" in said


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("train_downstream.py", "no store at {}/store.zarr"),
        ("evaluate.py", "no store at {}/store.zarr"),
        ("report.py", "no run at {}/runs/smoke"),
    ],
)
@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_job_that_only_reads_begins_nothing_where_nothing_is(
    tmp_path: Path,
    name: str,
    message: str,
    more: Sequence[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert job_here(name, tmp_path, more, monkeypatch) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"error: {message.format(tmp_path)}")
    assert len(said.err.splitlines()) == 1
    assert said.out == ""
    assert not ray.is_initialized()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["train_downstream.py", "evaluate.py"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.store={}/stroe.zarr", "no store at {}/stroe.zarr"),
        ("name=smok", "{}/runs/smok has no trained models"),
    ],
)
def test_a_mistyped_path_of_a_finished_run_is_one_error(
    finished: Path,
    name: str,
    change: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sorted(path.name for path in [*finished.iterdir(), *(finished / "runs").iterdir()])
    assert job_here(name, finished, sets(change.format(finished)), monkeypatch) == 2
    assert capsys.readouterr().err.startswith(f"error: {message.format(finished)}")
    after = sorted(path.name for path in [*finished.iterdir(), *(finished / "runs").iterdir()])
    assert after == before
    assert not ray.is_initialized()


@pytest.mark.timeout(600)
def test_a_report_is_written_from_its_run_folder_wherever_the_settings_say_the_store_is(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not (finished / "runs/smoke/evaluation/scores.json").exists():
        assert job_here("evaluate.py", finished, (), monkeypatch) == 0
    capsys.readouterr()
    elsewhere = sets(f"data.store={finished}/stroe.zarr")
    assert job_here("report.py", finished, elsewhere, monkeypatch) == 0
    assert capsys.readouterr().out.rstrip().endswith("report/index.html")
    assert not (finished / "stroe.zarr").exists()
    assert job_here("report.py", finished, sets("name=smok"), monkeypatch) == 2
    assert f"no run at {finished}/runs/smok" in capsys.readouterr().err
    assert not (finished / "runs/smok").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["model.widht=2"], "model.widht: unknown key; did you mean width"),
        (["training.stages.0.epochs=many"], "stages.0.pretrain.epochs"),
        (["sampling.min_soft_days=1000"], "set sampling.min_soft_days to at most"),
        (["downstream.forecast.lookback3_stride1.look_back=40"], "look_back 40 and 1 further days"),
        (["scaling.num_workers=500"], "too few for scaling.num_workers 500"),
        (["scaling.builders_per_worker=500"], "asks for 501 CPUs"),
        (["scaling.num_workers=24"], "asks for 48 CPUs"),
        (["scaling.use_gpu=true"], "GPUs but the cluster has 0"),
        (["data.variables=[2m_temperature,ozone]"], "unknown variable 'ozone'"),
    ],
)
def test_bad_input_is_one_error_before_ray_starts(
    tmp_path: Path,
    changes: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if changes == ["scaling.use_gpu=true"] and os.path.exists("/dev/nvidia0"):
        pytest.skip("there is a GPU")
    assert job_here("train_sparta.py", tmp_path, sets(*changes), monkeypatch) == 2
    text = capsys.readouterr().err
    assert message in text
    assert text.startswith("error: ")
    assert not ray.is_initialized()
    assert list(tmp_path.iterdir()) == []


def test_an_error_is_all_that_a_user_sees(tmp_path: Path) -> None:
    refused = job("train_sparta.py", tmp_path, *sets("model.widht=2"))
    assert refused.returncode == 2
    assert output(refused).startswith("error: ")


@pytest.mark.timeout(600)
def test_a_folder_of_another_run_is_refused(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert job_here("train_sparta.py", finished, sets("seed=7"), monkeypatch) == 2
    assert "seed: 0 -> 7" in capsys.readouterr().err


def test_dry_run_says_what_would_be_done_and_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert job_here("train_sparta.py", tmp_path, ["--dry-run"], monkeypatch) == 0
    text = capsys.readouterr().out
    assert "stage joint: 2 epochs x" in text
    assert "downstream: 6 trials" in text
    assert list(tmp_path.iterdir()) == []


def test_published_numbers_of_the_dry_run(tmp_path: Path) -> None:
    """The published sizes, on the one source that is at hand."""
    config = tmp_path / "published.yaml"
    config.write_text("sampling: {min_soft_days: 100}\ndownstream: {forecast: {}}\n")
    dry = job("train_sparta.py", tmp_path, "--dry-run", config=str(config))
    text = output(dry)
    assert dry.returncode == 0, text
    assert "stage pretrain: 100 epochs x 21 = 2,100 steps, 0.97" in text, text
