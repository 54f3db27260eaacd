"""An evaluation done part by part: killed, continued, out of date, and reported elsewhere."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml

from sparta_ray.base.config import to_tree
from sparta_ray.base.folder import RunFolder
from sparta_ray.evaluation.results import Results, load_results, save_part, save_results
from sparta_ray.metrics.records import Score, is_bound
from sparta_ray.report.build import write_page, write_pages
from sparta_ray.run.data_record import data_of
from sparta_ray.run.ownership import claim
from sparta_ray.run.settings import Run
from sparta_ray.run.trial import save_trial
from sparta_ray.tasks.evaluate import Evaluation, evaluate
from sparta_ray.tasks.trials import fresh_model, trials
from sparta_ray.training.stages import AutoencoderStage

PARTS = [
    "contrastive", "reconstruction", "embeddings-autoencoder", "probes-autoencoder",
    "pairs-autoencoder", "robustness-autoencoder", "cost-autoencoder",
    "bound-autoencoder-forecast-every_other", "baselines-forecast-every_other",
    "baselines-classification", "autoencoder-forecast-every_other-seed7",
    "autoencoder-classification-seed7",
]  # fmt: skip

PROGRAM = """
import sys
from sparta_ray.base.config import load
from sparta_ray.run.settings import Run
from sparta_ray.tasks.evaluate import evaluate
evaluate(load(Run, sys.argv[1]))
"""


@pytest.fixture
def run(linear_run: Run, tmp_path: Path) -> Run:
    """The autoencoder of the linear run, with two tasks, a store and a folder of its own."""
    store = tmp_path / "store.zarr"
    shutil.copytree(linear_run.data.store, store)
    downstream = replace(
        linear_run.downstream,
        forecast={"every_other": linear_run.downstream.forecast["every_other"]},
        diffusion=None,
    )
    run = replace(
        linear_run,
        name="parts",
        folder=str(tmp_path),
        data=replace(linear_run.data, store=str(store)),
        training=replace(linear_run.training, stages=(AutoencoderStage(),)),
        downstream=downstream,
    )
    shutil.copytree(f"{linear_run.path}/models/autoencoder", f"{run.path}/models/autoencoder")
    folder = RunFolder(run.path)
    claim(folder, run, "linear")
    for trial in trials(run):
        save_trial(folder, trial, fresh_model(run, trial))
    return run


def written(run: Run) -> dict[str, int]:
    """Return when each part was written, by its name."""
    parts = Path(run.path, "evaluation/parts")
    return {file.parent.name: file.stat().st_mtime_ns for file in parts.glob("*/scores.json")}


@pytest.mark.timeout(240)
def test_a_killed_evaluation_continues_and_its_report_needs_no_store(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(to_tree(run)))
    killed = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(config)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    while len(written(run)) < 3:
        assert killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    before = written(run)
    assert set(before) < set(PARTS)
    assert not RunFolder(run.path).exists("evaluation/scores.json")

    evaluate(run)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"evaluate {len(before)}/{len(PARTS)} ")
    assert len(lines) == len(PARTS) - len(before) + 1
    after = written(run)
    assert set(after) == set(PARTS)
    assert {name: after[name] for name in before} == before

    # The same in one go, and as an earlier version left it, gives the same report.
    page = Path(write_page(run)).read_bytes()
    whole = load_results(RunFolder(run.path))
    shutil.rmtree(f"{run.path}/evaluation")
    save_results(RunFolder(run.path), run.evaluation, whole)
    assert Path(write_page(run)).read_bytes() == page
    shutil.rmtree(f"{run.path}/evaluation")
    evaluate(run)

    copy = tmp_path / "elsewhere" / "parts"
    shutil.copytree(run.path, copy)
    shutil.rmtree(run.data.store)
    assert Path(write_pages([str(copy)])).read_bytes() == page
    cards = {card.name for card in (copy / "report/models").iterdir()}
    assert "parts-autoencoder-forecast-every_other-seed7.md" in cards


def saved(run: Run) -> list[str]:
    """Save empty results of every part that is not saved, and return the names of these."""
    evaluation = Evaluation(run)
    pending = [part.name for part in evaluation.pending()]
    for name in pending:
        save_part(RunFolder(run.path), name, evaluation.inputs[name], Results())
    evaluation.finish()
    assert Evaluation(run).is_done()
    return pending


def test_only_what_is_out_of_date_is_done_again(run: Run) -> None:
    assert saved(run) == PARTS
    assert saved(run) == []

    other = replace(run, evaluation=replace(run.evaluation, report_leads=(1, 2)))
    assert not Evaluation(other).is_done()
    assert saved(other) == PARTS
    assert saved(run) == PARTS

    (forecast, _) = trials(run)
    save_trial(RunFolder(run.path), forecast, fresh_model(run, forecast))  # other random weights
    assert not Evaluation(run).is_done()
    assert saved(run) == ["autoencoder-forecast-every_other-seed7"]

    more = replace(run, downstream=replace(run.downstream, max_concurrent=1))
    assert saved(more) == []
    longer = replace(run.downstream.forecast["every_other"], lead_days=6)
    downstream = replace(run.downstream, forecast={"every_other": longer})
    assert saved(replace(run, downstream=downstream)) == [
        name for name in PARTS if "every_other" in name
    ]
    weights = Path(run.path, "models/autoencoder/weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    assert set(saved(run)) == {name for name in PARTS if not name.startswith("baselines")} | {
        "baselines-forecast-every_other"
    }


def test_an_evaluation_of_an_earlier_version_counts_and_its_names_are_understood(run: Run) -> None:
    folder = RunFolder(run.path)
    scores = [Score("forecast", name, "rrmse", 1.0) for name in ("floor of autoencoder", "sparta")]
    record = {
        "config": to_tree(run.evaluation),
        "arrays": [],
        "scores": [asdict(score) for score in scores],
        "absent": [],
        "costs": {},
    }
    save_results(folder, run.evaluation, Results())  # for its windows
    folder.write("evaluation/scores.json", json.dumps(record))
    assert Evaluation(run).is_done()
    bound, model = load_results(folder).scores
    assert bound.model == "perfect-forecast bound of autoencoder"
    assert is_bound(bound.model)
    assert not is_bound(model.model)


def test_the_record_of_the_data_is_that_of_the_store(run: Run) -> None:
    folder = RunFolder(run.path)
    of_store = data_of(folder, run.data.store)
    saved(run)
    recorded = data_of(folder, "nowhere")
    assert (recorded.days == of_store.days).all()
    assert recorded.days.dtype == of_store.days.dtype
    for name in ("variables", "grid", "provenance", "fingerprint"):
        assert getattr(recorded, name) == getattr(of_store, name)
