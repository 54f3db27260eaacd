import json
from pathlib import Path

import pytest
import yaml

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.data.preparation.recipe import read_recipe
from sparta_ray.evaluation.results import Results, save_results
from sparta_ray.metrics.records import Score
from sparta_ray.run.ownership import claim, is_trained
from sparta_ray.studies.config import load_study
from sparta_ray.studies.folder import StudyFolder, epochs_of, stop_early, was_stopped
from sparta_ray.studies.links import adopt_models
from sparta_ray.studies.run_study import check_study, run_study
from sparta_ray.studies.summary import write_summary
from sparta_ray.studies.trial import trials_of

LOOK = {"downstream.forecast.lookback3_stride1.look_back": 4}


@pytest.fixture
def loaded(write_study):
    """Return a function that writes a study and returns it, its trials and its folder."""

    def load(**content):
        path = write_study(**content)
        study = load_study(path)
        return study, trials_of(study, path), StudyFolder(study.path)

    return load


def test_the_record_names_every_trial(loaded):
    study, trials, folder = loaded(seeds=[0, 2], variants={"full": {}, "look": LOOK})
    folder.record(study, trials)
    recorded = yaml.safe_load(folder.read("study.yaml"))
    assert recorded["study"]["seeds"] == [0, 2]
    last = recorded["trials"][-1]
    assert (last["name"], last["variant"], last["seed"]) == ("look-seed2", "look", 2)
    assert (last["trained_by"], last["settings"]) == ("full-seed2", LOOK)


def test_a_study_may_grow_but_not_lose_trials(loaded):
    study, trials, folder = loaded(variants={"full": {}})
    folder.record(study, trials)
    grown = loaded(seeds=[0, 1], variants={"full": {}, "look": LOOK})
    folder.check(grown[1])
    other = loaded(variants={"look": LOOK})
    with pytest.raises(ConfigError, match="another study: it has the trials full-seed0"):
        folder.check(other[1])


def test_a_changed_variant_is_another_run(loaded):
    study, trials, folder = loaded(variants={"full": {}})
    folder.record(study, trials)
    claim(RunFolder(trials[0].run.path), trials[0].run, "data")
    changed = loaded(variants={"full": {"model.width": 0.07}})
    with pytest.raises(ConfigError, match=r"trial full-seed0: .*(?s:.*)model.width: 0.05 -> 0.07"):
        check_study(changed[0], changed[1])


def test_a_runs_folder_is_no_studys(loaded):
    _, trials, folder = loaded(variants={"full": {}})
    claim(RunFolder(folder.path), trials[0].run, "data")
    with pytest.raises(ConfigError, match="is a run's folder"):
        folder.check(trials)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scaling.builders_per_worker": 500}, "trial big-seed0: scaling asks for 501 CPUs"),
        ({"downstream.cpus_per_trial": 500}, "trial big-seed0: a downstream trial asks for 500"),
        ({"sampling.min_soft_days": 1000}, "trial big-seed0: .*min_soft_days"),
    ],
)
def test_a_trial_that_cannot_be_done_is_named_before_anything_begins(loaded, settings, message):
    study, trials, folder = loaded(variants={"full": {}, "big": settings})
    with pytest.raises(ConfigError, match=message):
        run_study(study, trials)
    assert not folder.exists("")


def test_trials_of_the_same_data_share_what_is_known_of_them(loaded, monkeypatch):
    opened = []

    def counted(config):
        opened.append(config.last_day)
        return read_recipe(config)

    monkeypatch.setattr("sparta_ray.data.preparation.facts.read_recipe", counted)
    days = {"data.last_day": "1979-12-30", "data.store": "runs/stores/shorter.zarr"}
    study, trials, folder = loaded(seeds=[0, 1], variants={"full": {}, "days": days})
    full, again, shorter, _ = check_study(study, trials)
    assert opened == ["1979-12-31", "1979-12-30"]
    assert full.data is again.data
    assert len(shorter.data.layout.days) == 364
    assert [found.run for found in (full, again, shorter)] == [t.run for t in trials[:3]]
    assert not folder.exists("")


def history(run, epochs):
    """Write what a trial's pretraining leaves, an epoch's validation loss after another."""
    records = []
    for epoch, loss in epochs:
        place = {"stage": "pretrain", "time": 0.0, "epoch": epoch}
        records.append({**place, "event": "epoch", "lr": 1e-3, "validation_loss": loss})
        records.append({**place, "event": "health", "alignment": 2 * loss})
    RunFolder(run.path).append_records("metrics.jsonl", records)


def test_epochs_are_read_as_they_came_out_last(loaded):
    _, trials, _ = loaded(variants={"full": {}})
    run, folder = trials[0].run, RunFolder(trials[0].run.path)
    history(run, [(0, 5.0), (1, 4.0), (1, 4.5)])
    first, second = epochs_of(folder, "pretrain")
    assert first["epochs"] == 1
    assert second == {
        "epochs": 2,
        "pretrain/lr": 1e-3,
        "pretrain/validation_loss": 4.5,
        "pretrain/alignment": 9.0,
    }
    assert epochs_of(folder, "joint") == []
    assert not was_stopped(folder)
    stop_early(folder, 2)
    assert was_stopped(folder)


def test_models_are_adopted_whole_and_once(loaded):
    _, (full, look), _ = loaded(variants={"full": {}, "look": LOOK})
    adopt_models(full.run, look.run)  # there is nothing yet
    source = RunFolder(full.run.path)
    source.write("metrics.jsonl", "{}\n")
    for kind in full.run.models:
        source.write(f"models/{kind}/weights.safetensors", f"weights of {kind}")
        source.write(f"models/{kind}/model.json", f"card of {kind}")
    adopt_models(full.run, look.run)
    assert is_trained(look.run)
    target = RunFolder(look.run.path)
    assert target.read("models/sparta/weights.safetensors") == "weights of sparta"
    assert target.read("metrics.jsonl") == "{}\n"
    source.write("models/sparta/weights.safetensors", "others")
    adopt_models(full.run, look.run)
    assert target.read("models/sparta/weights.safetensors") == "weights of sparta"


def test_a_sweep_is_summed_up_best_first(loaded):
    space = {"model.width": {"kind": "grid", "values": [0.05, 0.06, 0.07]}}
    study, trials, folder = loaded(
        until="train", sweep={"space": space, "metric": "alignment", "mode": "max"}
    )
    for trial, loss in zip(trials, (1.0, 3.0, 2.0), strict=True):
        history(trial.run, [(0, loss / 2), (1, loss)])
    stop_early(RunFolder(trials[0].run.path), 2)
    lines = write_summary(study, trials, folder).splitlines()[2:]
    assert [line.split("|")[1].strip() for line in lines] == ["width0.06", "width0.07", "width0.05"]
    assert "2 (stopped)" in lines[-1]
    assert json.loads(folder.read("summary.json"))[0]["mean"] == 6.0


def test_a_finished_study_is_summed_up_by_its_scores(loaded):
    study, trials, folder = loaded(seeds=[0, 1], variants={"full": {}, "look": LOOK})
    for trial, value in zip(trials, (1.0, 2.0, 5.0, 5.0), strict=True):
        task, whole = "reconstruction", "standardised error"
        scores = [
            Score(task, "sparta", whole, value),
            Score(task, "climatology", whole, 9.0),
            Score(task, "sparta", "rmse", 8.0, "K", variable="2m_temperature"),
        ]
        save_results(RunFolder(trial.run.path), trial.run.evaluation, Results(scores))
    write_summary(study, trials, folder)
    full, look = json.loads(folder.read("summary.json"))
    assert (full["variant"], full["mean"], full["count"]) == ("full", 1.5, 2)
    assert full["std"] == pytest.approx(0.5**0.5)
    assert (look["mean"], look["std"]) == (5.0, 0.0)
    assert Path(folder.child("summary.md")).read_text().startswith("| variant")
