import json
from dataclasses import asdict

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sparta_ray.base.config import load, to_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.evaluation.results import Results, save_results
from sparta_ray.metrics.records import Score
from sparta_ray.report.tensorboard import EventFiles, hyper_parameters
from sparta_ray.run.settings import Run
from sparta_ray.run.trial import Trial
from sparta_ray.tasks.trials import trials
from sparta_ray.training.reporter import HISTORY

STEP = {"stage": "pretrain", "time": 100.0, "event": "step", "split": "train", "epoch": 0}


@pytest.fixture
def run():
    return load(Run, None, ["downstream.diffusion=null", "downstream.forecast={}"])


@pytest.fixture
def folder(run, tmp_path):
    folder = RunFolder(str(tmp_path / "runs/some"))
    folder.write("run.yaml", yaml.safe_dump({"config": to_tree(run)}))
    return folder


def scalars(logdir, run):
    events = EventAccumulator(str(logdir / run)).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_records_become_scalars_in_groups_as_they_come(folder, tmp_path):
    step = STEP | {"position": 4, "wait_share": 0.25, "rows_per_second": 100.0, "loss": 2.0}
    health = {
        "stage": "pretrain",
        "time": 101.0,
        "event": "health",
        "epoch": 0,
        "effective_rank": 9,
    }
    folder.append_records(HISTORY, [step | {"event": "start", "position": 0}, step, health])
    files = EventFiles(folder, tmp_path / "log")
    assert files.update() == 4
    folder.append_records(HISTORY, [step | {"position": 8, "loss": 1.5}])
    assert files.update() == 3
    assert files.update() == 0
    files.close()
    assert scalars(tmp_path / "log", "train/pretrain_train") == {
        "throughput/wait_share": [(4, 0.25), (8, 0.25)],
        "throughput/rows_per_second": [(4, 100.0), (8, 100.0)],
        "losses/loss": [(4, 2.0), (8, 1.5)],
    }
    assert scalars(tmp_path / "log", "train/pretrain") == {
        "embedding_health/effective_rank": [(0, 9.0)]
    }


def records_of_a_resumed_run():
    """Return what a run left that was killed after step 12, and what it wrote from step 6 on."""
    epoch = {"stage": "pretrain", "time": 101.0, "event": "epoch"}
    start = STEP | {"event": "start"}
    killed = [
        start | {"position": 0},
        *(STEP | {"position": p, "loss": loss} for p, loss in ((4, 3.0), (8, 2.0))),
        epoch | {"epoch": 0, "train_loss": 3.0},
        epoch | {"epoch": 0, "event": "health", "effective_rank": 3.0},
        STEP | {"position": 12, "epoch": 1, "loss": 1.0},
    ]
    resumed = [
        start | {"position": 6},
        STEP | {"position": 7, "loss": 2.5},
        epoch | {"epoch": 0, "train_loss": 2.9},
        epoch | {"epoch": 0, "event": "health", "effective_rank": 4.0},
        STEP | {"position": 11, "epoch": 1, "loss": 1.5},
    ]
    return killed, resumed


@pytest.mark.parametrize("followed", [False, True], ids=["afterwards", "as it goes"])
def test_a_resumed_run_shows_no_step_twice(folder, tmp_path, followed):
    killed, resumed = records_of_a_resumed_run()
    files = EventFiles(folder, tmp_path / "log")
    folder.append_records(HISTORY, killed)
    if followed:
        files.update()
    folder.append_records(HISTORY, resumed)
    files.update()
    files.close()
    steps = scalars(tmp_path / "log", "train/pretrain_train")
    assert steps["losses/loss"] == [(4, 3.0), (7, 2.5), (11, 1.5)]
    epochs = scalars(tmp_path / "log", "train/pretrain")
    assert epochs["epoch_means/train_loss"] == [(0, pytest.approx(2.9))]
    assert epochs["embedding_health/effective_rank"] == [(0, 4.0)]


def test_a_trial_that_starts_again_shows_no_epoch_twice(folder, run, tmp_path):
    trial = trials(run)[0]
    name = f"{trial.folder}-history.jsonl"
    folder.append_records(name, [{"epoch": 0, "loss": 1.0}, {"epoch": 1, "loss": 0.5}])
    files = EventFiles(folder, tmp_path / "log")
    files.update()
    folder.write(name, json.dumps({"epoch": 0, "loss": 0.9}) + "\n")
    files.update()
    files.close()
    (points,) = scalars(tmp_path / "log", trial.folder).values()
    assert points == [(0, pytest.approx(0.9))]


def test_a_trial_stands_in_the_table_of_hyper_parameters(folder, run, tmp_path):
    trial = trials(run)[0]
    assert trial == Trial("sparta", "classification", "", 0)
    lines = [{"epoch": 0, "loss": 1.0}, {"epoch": 1, "loss": 0.5}]
    folder.append_records(f"{trial.folder}-history.jsonl", lines)
    files = EventFiles(folder, tmp_path / "log")
    assert files.update() == 2
    folder.write(f"{trial.folder}/trial.json", json.dumps(asdict(trial)))
    files.update()
    files.close()
    assert scalars(tmp_path / "log", trial.folder) == {
        "downstream_classification/loss": [(0, 1.0), (1, 0.5)],
        "last/loss": [(0, 0.5)],
    }
    accumulated = EventAccumulator(str(tmp_path / "log" / trial.folder)).Reload()
    assert accumulated.PluginTagToContent("hparams")
    parameters = hyper_parameters(to_tree(run), asdict(trial))
    assert parameters["model"] == "sparta"
    assert parameters["with_epochs"] == 100
    assert all(isinstance(value, str | int | float) for value in parameters.values())


def test_scores_stand_beside_the_settings_of_their_trial(folder, run, tmp_path):
    trial = Trial("sparta", "forecast", "far", 42)
    folder.append_records(f"{trial.folder}-history.jsonl", [{"epoch": 0, "loss": 1.0}])
    forecast = {"task": "forecast", "model": "sparta", "setting": "far", "seed": 42}
    scores = [
        Score(**forecast, metric="rrmse", value=2.0, lead_days=1),
        Score(**forecast, metric="rrmse", value=5.0, lead_days=10),
        Score(**forecast | {"seed": 7}, metric="rrmse", value=9.0, lead_days=10),
    ]
    save_results(folder, run.evaluation, Results(scores, {}))
    files = EventFiles(folder, tmp_path / "log")
    files.update()
    files.close()
    table = scalars(tmp_path / "log", trial.folder)
    assert table["score/rrmse"] == [(1, 2.0), (10, 5.0)]  # the table shows the last


def test_scores_are_drawn_over_lead_for_each_variant_and_seed(folder, run, tmp_path):
    forecast = {"task": "forecast", "model": "sparta", "setting": "far", "seed": 42}
    scores = [
        Score(**forecast, metric="rrmse", value=2.0, lead_days=1),
        Score(**forecast, metric="rrmse", value=5.0, lead_days=10),
        Score(**forecast, metric="rmse", value=9.0, lead_days=1, variable="2m_temperature"),
        Score(task="classification", model="chance", metric="cross-entropy", value=1.5),
    ]
    save_results(folder, run.evaluation, Results(scores, {}))
    files = EventFiles(folder, tmp_path / "log")
    assert files.update() == 3
    files.close()
    assert scalars(tmp_path / "log", "scores/sparta-far-seed42") == {
        "scores_forecast/rrmse": [(1, 2.0), (10, 5.0)]
    }
    assert "scores_classification/cross-entropy" in scalars(tmp_path / "log", "scores/chance")


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"no run at .*nothing; name a run folder"):
        EventFiles(RunFolder(str(tmp_path / "nothing")), tmp_path)
