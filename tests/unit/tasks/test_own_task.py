"""The guide to a task of one's own, followed to the letter in a copy of the project."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from sparta_ray.base.config import to_tree
from tests.guide import Guide, patched

PROGRAM = """
import torch
from sparta_ray.base.config import load
from sparta_ray.base.folder import RunFolder
from sparta_ray.report.build import write_page
from sparta_ray.run.ownership import claim
from sparta_ray.run.settings import Run
from sparta_ray.run.trial import save_trial
from sparta_ray.tasks.evaluate import evaluate
from sparta_ray.tasks.trials import train_trial, trials

run = load(Run, "conf/own.yaml")
folder = RunFolder(run.path)
claim(folder, run, "linear")
for trial in trials(run):
    epochs = []
    keep = lambda epoch, losses: epochs.append(losses)
    model = train_trial(run, trial, keep, torch.device("cpu"))
    assert epochs[-1]["loss"] < epochs[0]["loss"]
    save_trial(folder, trial, model)
evaluate(run)
print(write_page(run))
"""


@pytest.mark.timeout(240)
def test_the_guide_leads_to_a_task_of_ones_own(tmp_path: Path, linear_run) -> None:
    guide = Guide.follow(
        "your-own-task.md",
        tmp_path,
        new=["sparta_ray/tasks/phase.py", "conf/phase.yaml"],
        changed="sparta_ray/downstream/config.py",
    )
    registry = tmp_path / "sparta_ray/tasks/registry.py"
    diff = guide.block_after("sparta_ray/tasks/registry.py")
    registry.write_text(patched(registry.read_text(), diff))
    plan = guide.dry_run()
    assert "  phase:\n    epochs: 20\n" in plan
    assert "downstream: 8 trials" in plan

    # The trained autoencoder of the tests stands for a trained model.
    alone = to_tree(linear_run) | {"folder": str(tmp_path / "runs"), "name": "own"}
    alone["training"]["stages"] = [{"kind": "autoencoder"}]
    alone["downstream"] |= {"forecast": {}, "diffusion": None, "classification": None}
    alone["downstream"]["phase"] = {"epochs": 5}
    (tmp_path / "conf/own.yaml").write_text(yaml.safe_dump(alone))
    models = tmp_path / "runs/own/models"
    shutil.copytree(Path(linear_run.path) / "models/autoencoder", models / "autoencoder")
    guide.run("-c", PROGRAM)

    report = tmp_path / "runs/own/report"
    scores = json.loads((report / "metrics.json").read_text())["scores"]
    (score,) = [score for score in scores if score["task"] == "phase"]
    assert (score["model"], score["metric"], score["seed"]) == (
        "autoencoder",
        "error of the date",
        7,
    )
    assert 0 < score["value"] < 183
    page = (report / "index.html").read_text()
    assert "Does the embedding know the date?" in page
    assert "Errors of the date" in page
    assert f"The date is off by {score['value']:.0f} days for autoencoder." in page
    assert (report / "models/own-autoencoder-phase-seed7.md").exists()
