"""A study's folder, read and reported: two evaluated trials, one that failed, one not started."""

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
import yaml

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.evaluation.results import Results, load_results, save_results
from sparta_ray.evaluation.robustness import MEASURES, PLACES, SHAPES
from sparta_ray.metrics.case_sums import Cases
from sparta_ray.metrics.records import Subject
from sparta_ray.report.build import write_pages
from sparta_ray.report.study import read_study
from sparta_ray.run.cost import Cost
from sparta_ray.run.ownership import claim


def small_results(run):
    """Return a few scores with windows, of both models and a baseline, and a robustness curve.

    SPARTA's RRMSE is 10 % and the run's seed.
    """
    results, days = Results(), np.arange(60.0)
    for model in ("sparta", "autoencoder", "persistence", "climatology"):
        windows = Cases(Subject("forecast", model, "lookback30_stride1", 7), days, 25)
        value = 10.0 + (run.seed if model == "sparta" else 0)
        results.add([windows.mean("rrmse", np.full(60, value), "%")])
        parts = np.full(60, 0.25), np.ones(60)
        of_t2m = {"variable": "2m_temperature"}
        results.add([windows.sums("rmse", "root mean", *parts, units="K", **of_t2m)])
        results.add([windows.sums("acc", "mean", *parts, **of_t2m)])
    results.add([Cases(Subject("classification", "majority"), days).mean("accuracy", days / 60)])
    confusion = f"confusion-sparta-classification-seed{run.downstream.seeds[0]}"
    results.arrays[confusion] = xr.DataArray(np.arange(16).reshape(4, 4), dims=("true", "given"))
    for kind in run.models:
        results.costs[kind] = Cost(38_512, 77, 1e13)
        results.arrays[f"robustness-{kind}"] = xr.DataArray(
            np.full((2, 2, 5, 2), float(run.seed)),
            dims=("measure", "place", "shape", "ratio"),
            coords={
                "measure": list(MEASURES),
                "place": list(PLACES),
                "shape": [shape.kind for shape in SHAPES],
                "ratio": [0.0, 0.9],
            },
            attrs={"days": 3},
        )
    return results


@pytest.fixture(scope="module")
def folder(linear_run, tmp_path_factory):
    """A study of the linear run, under two seeds that differ in nothing else."""
    path = tmp_path_factory.mktemp("studies") / "small"
    for seed in (3, 4):
        run = replace(linear_run, name=f"early-hn-cycle-seed{seed}", folder=str(path), seed=seed)
        trial = RunFolder(run.path)
        claim(trial, run, "linear")
        save_results(trial, run.evaluation, small_results(run))
    listed = [
        {"name": f"{variant}-seed{seed}", "variant": variant, "seed": seed}
        for variant in ("early-hn-cycle", "late-graph", "early")
        for seed in (3, 4)
    ]
    listed.append({"name": "early-hn-cycle-seed5", "variant": "early-hn-cycle", "seed": 5})
    (path / "study.yaml").write_text(yaml.safe_dump({"trials": listed}))
    (path / "errors").mkdir()
    (path / "errors" / "late-graph-seed4.txt").write_text("Traceback\nValueError: no memory\n")
    return path


def test_trials_without_scores_say_why(folder):
    study = read_study([str(folder)])
    assert [m.variant for m in study.members] == ["sparta_early_hn_cycle"] * 2
    assert study.empty == {
        "sparta_late_graph": "failed: ValueError: no memory",
        "sparta_early": "not started",
    }
    assert study.lost == {"early-hn-cycle-seed5": "not started"}
    models = {score.model for score in study.results.scores}
    assert models == {
        "sparta_early_hn_cycle",
        "autoencoder",
        "persistence",
        "climatology",
        "majority",
    }
    baseline = [s for s in study.results.scores if s.model == "persistence"]
    assert {s.run for s in baseline} == {""}
    once = [s for s in study.results.scores if (s.model, s.metric) == ("majority", "accuracy")]
    assert len(once) == 1


def test_the_report_of_a_study_is_whole(folder):
    page = write_pages([str(folder)])
    assert page == str(folder / "report" / "index.html")
    text = (folder / "report" / "index.html").read_text()
    assert text.index("Which claims hold here") < text.index("What was run")
    assert text.count("failed: ValueError: no memory") > 12  # each cell of its rows
    assert "not comparable" in text
    assert "standard deviations leave out: early-hn-cycle-seed5: not started" in text
    tables = folder / "report" / "tables"
    for number in [*range(1, 16), "3.1"]:
        for kind in ("md", "csv"):
            assert (tables / f"table-{number}.{kind}").exists()
    whole = json.loads((folder / "report" / "metrics.json").read_text())["tables"]
    assert {f"{name}.csv" for name in whole} == {path.name for path in tables.glob("*.csv")}
    assert {row["outcome"] for row in whole["claims"]} >= {"not separable", "not tested"}
    assert "too few windows" in json.dumps(whole["claims"])
    days = [row["days"] for row in whole["confusion"]]
    assert days == [*range(16), *range(16)]  # of two runs
    curves = whole["robustness"]
    assert len(curves) == 2 * 2 * 2 * 5 * 2
    assert {(row["seed"], row["agreement"]) for row in curves} == {(3, 3.0), (4, 4.0)}
    accuracies = next(tables.glob("*classification*.csv")).read_text().splitlines()
    assert ',"SPARTA late fusion, graph",,–,failed: ValueError: no memory,' in accuracies
    assert ",SPARTA early fusion,,–,not started," in accuracies
    for seed in (3, 4):
        card = (folder / "report" / "models" / f"early-hn-cycle-seed{seed}-sparta.md").read_text()
        found = f"| forecast | RRMSE, 25 days ahead (lookback30_stride1) | {10 + seed} | too few"
        assert found in card
    assert "M parameters" in card
    assert "simulated weather" in card
    trial = "early-hn-cycle-seed4-sparta-forecast-lookback30_stride1-seed7"
    task = (folder / "report" / "models" / f"{trial}.md").read_text()
    assert "[early-hn-cycle-seed4-sparta.md](early-hn-cycle-seed4-sparta.md), frozen" in task
    assert "look_back 14" in task
    assert "| RRMSE, 25 days ahead | 14 | too few windows: 60 make 2 blocks" in task


def test_a_name_that_the_settings_contradict_is_refused(folder, tmp_path):
    trial = {"name": "early-hn-cycle-seed3", "variant": "early", "seed": 3}
    wrong = folder.parent / "wrong"
    wrong.mkdir()
    (wrong / "early-hn-cycle-seed3").symlink_to(folder / "early-hn-cycle-seed3")
    (wrong / "study.yaml").write_text(yaml.safe_dump({"trials": [trial]}))
    with pytest.raises(ConfigError, match="called sparta_early, but its settings are those of"):
        read_study([str(wrong)])


def test_what_is_not_evaluated_or_no_run_is_refused(folder, tmp_path):
    with pytest.raises(ConfigError, match="is not a run folder"):
        read_study([str(tmp_path)])
    (tmp_path / "run.yaml").write_text((folder / "early-hn-cycle-seed3/run.yaml").read_text())
    with pytest.raises(ConfigError, match="is not evaluated"):
        read_study([str(tmp_path)])


def test_scores_of_an_earlier_version_are_refused(folder, tmp_path):
    old = RunFolder(str(tmp_path / "old"))
    old.write("evaluation/scores.json", json.dumps({"config": {}, "arrays": [], "scores": []}))
    with pytest.raises(ConfigError, match="kept no windows"):
        load_results(old)
