import math

import pytest

from sparta_ray.base.config import from_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.studies.config import load_study
from sparta_ray.studies.sweep import SweepConfig, sweep_variants
from sparta_ray.studies.trial import trials_of


def sweep(**content):
    return from_tree(SweepConfig, content, "test")


def test_a_grid_is_every_combination():
    found = sweep_variants(
        sweep(space={"a.lr": {"kind": "grid", "values": [0.1, 1e-5]},
                     "b.size": {"kind": "grid", "values": [2, 3]}})
    )  # fmt: skip
    assert list(found) == ["lr0.1-size2", "lr0.1-size3", "lr1e-05-size2", "lr1e-05-size3"]
    assert found["lr1e-05-size3"] == {"a.lr": 1e-5, "b.size": 3}


def test_draws_are_repeatable_within_bounds_and_spread_by_their_logarithm():
    space = {"lr": {"kind": "loguniform", "low": 1e-6, "high": 1e-2},
             "kind": {"kind": "choice", "values": ["x", "y", "z"]}}  # fmt: skip
    found = sweep_variants(sweep(space=space, samples=200))
    assert found == sweep_variants(sweep(space=space, samples=200))
    assert found != sweep_variants(sweep(space=space, samples=200, seed=1))
    rates = [settings["lr"] for settings in found.values()]
    assert 1e-6 <= min(rates) < 2e-6
    assert 5e-3 < max(rates) <= 1e-2
    middle = sum(math.log10(rate) for rate in rates) / len(rates)
    assert middle == pytest.approx(-4, abs=0.2)
    assert {settings["kind"] for settings in found.values()} == {"x", "y", "z"}


def test_a_grid_is_done_for_every_draw():
    space = {"lr": {"kind": "loguniform", "low": 1, "high": 9},
             "n": {"kind": "grid", "values": [1, 2]}}  # fmt: skip
    found = list(sweep_variants(sweep(space=space, samples=3)).values())
    assert [settings["n"] for settings in found] == [1, 2] * 3
    assert len({settings["lr"] for settings in found}) == 3


def test_the_published_sweeps_are_those_of_the_report():
    temperatures = (0.01, 0.03, 0.05, 0.07, 0.08, 0.1, 0.3)
    expected = {"simclr": temperatures, "supervised": temperatures,
                "barlow_twins": (0.001, 0.01, 0.1)}  # fmt: skip
    for name, values in expected.items():
        path = f"conf/sweeps/{name}.yaml"
        trials = trials_of(load_study(path), path)
        losses = [trial.run.training.contrastive.loss for trial in trials]
        swept = "redundancy_weight" if name == "barlow_twins" else "temperature"
        assert tuple(getattr(loss, swept) for loss in losses) == values
        assert {trial.run.training.stages[0].epochs for trial in trials} == {100}
        rate = 1e-3 if name == "barlow_twins" else 1e-4
        assert {trial.run.training.stages[0].lr for trial in trials} == {rate}
        assert not any(trial.run.sampling.negatives for trial in trials)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"space": {}}, "space"),
        ({"space": {"a": {"kind": "loguniform", "low": 2, "high": 1}}}, "must be below high"),
        ({"space": {"a": {"kind": "loguniform", "low": 0, "high": 1}}}, "greater than 0"),
        ({"space": {"a": {"kind": "grid", "values": []}}}, "at least 1"),
        ({"space": {"a": {"kind": "guess"}}}, "guess"),
    ],
)
def test_bad_spaces_are_refused(content, message):
    with pytest.raises(ConfigError, match=message):
        sweep(**content)


def test_a_sweep_of_no_setting_names_the_variant(write_study):
    path = write_study(sweep={"space": {"model.widht": {"kind": "grid", "values": [1]}}})
    with pytest.raises(ConfigError, match=r"(?s)variant 'widht1'.*unknown key"):
        trials_of(load_study(path), path)
