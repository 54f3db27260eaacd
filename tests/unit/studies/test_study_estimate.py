from dataclasses import replace

import numpy as np
import pytest

from sparta_ray.base.errors import ConfigError
from sparta_ray.run.estimate import step_flop
from sparta_ray.studies.config import load_study
from sparta_ray.studies.data import DataSize, size_stated
from sparta_ray.studies.estimate import GPU_RATE, describe_study, trial_costs
from sparta_ray.studies.probe import probe
from sparta_ray.studies.trial import trials_of

PAPER = "conf/paper/all.yaml"


def test_the_study_of_the_paper_states_the_published_data():
    expects = load_study(PAPER).expects
    days = size_stated(expects).days
    assert (str(days[0]), str(days[-1])) == ("1959-01-01", "2023-01-10")


@pytest.mark.timeout(360)
def test_the_paper_costs_what_the_published_recipe_costs():
    study = load_study(PAPER)
    trials = trials_of(study, PAPER)
    assert len(trials) == 7
    counted = [t for t in trials if t.variant in ("autoencoder", "early-hn-cycle", "late-graph")]
    size = size_stated(study.expects)
    costs = trial_costs(counted, {trial.name: size for trial in counted})
    autoencoder, early, late = costs
    assert early.flop + autoencoder.flop == pytest.approx(194e15, rel=0.01)
    # "About 820" was an estimate; how it counts stage 3's frozen encoders is not known.
    assert late.flop + autoencoder.flop == pytest.approx(820e15, rel=0.1)
    assert early.steps == late.steps == 334 * (100 + 250 + 200)
    assert autoencoder.steps == 334 * 180


def test_trials_of_one_training_pay_once(write_study):
    path = write_study(
        seeds=[0, 1],
        variants={"a": {}, "b": {"downstream.seeds": [7]}},
    )
    study = load_study(path)
    trials = trials_of(study, path)
    size = DataSize(np.datetime64("1979-01-01") + np.arange(365), (64, 32))
    costs = trial_costs(trials, {trial.name: size for trial in trials})
    assert [bool(cost.flop) for cost in costs] == [True, True, False, False]
    assert costs[0].flop == costs[1].flop
    text = list(describe_study(study, trials))
    assert any("b-seed1" in line and "uses the models of a-seed1" in line for line in text)
    assert any("4 trials, 2 trainings" in line for line in text)


def test_hours_follow_from_the_probe(write_study):
    path = write_study(variants={"a": {"training.stages": [{"kind": "pretrain", "epochs": 3}]}})
    study = load_study(path)
    trials = trials_of(study, path)
    text = "\n".join(describe_study(study, trials))
    assert "probe on" in text
    assert f"effective {GPU_RATE / 1e12:.0f} TFLOP/s (assumed, not measured)" in text


def test_a_probe_times_the_runs_own_model(write_study):
    path = write_study(variants={"a": {}})
    (trial,) = trials_of(load_study(path), path)
    stage = trial.run.training.stages[0]
    found = probe(trial.run, stage, (64, 32))
    assert found.seconds > 0
    assert found.flop == step_flop(trial.run, stage, (64, 32), found.rows)
    wider = replace(trial.run, model=replace(trial.run.model, width=0.2))
    assert probe(wider, stage, (64, 32)).flop > 2 * found.flop


def test_data_that_cannot_be_reached_are_an_error_unless_the_study_states_them(
    write_study, tmp_path
):
    gone = {"data.source": {"kind": "netcdf", "paths": str(tmp_path / "gone.nc")}}
    short = {"training.stages": [{"kind": "pretrain", "epochs": 3}]}
    path = write_study(variants={"a": {}}, common=gone | short)
    study = load_study(path)
    with pytest.raises(ConfigError, match=r"gone\.nc"):
        list(describe_study(study, trials_of(study, path)))
    path = write_study(
        variants={"a": {}},
        common=gone | short,
        expects={"first_day": "1979-01-01", "days": 365, "grid": [64, 32]},
    )
    study = load_study(path)
    first, *rest = describe_study(study, trials_of(study, path))
    assert "cannot be read from here" in first
    assert "365 days of 64x32" in first
    assert len(rest) > 3
