from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from sparta_ray.base.folder import RunFolder
from sparta_ray.evaluation.results import Results, is_evaluated, load_results, save_results
from sparta_ray.metrics.config import EvaluationConfig
from sparta_ray.metrics.records import Score

CONFIG = EvaluationConfig(report_leads=(1, 4))


@pytest.fixture
def folder(tmp_path):
    return RunFolder(str(tmp_path))


@pytest.fixture
def results():
    panels = xr.DataArray(
        np.arange(12, dtype=np.float32).reshape(2, 2, 3),
        dims=("panel", "variable", "longitude"),
        coords={"panel": ["truth", "masked input"], "variable": ["a", "b"]},
        attrs={"day": "1980-01-02", "lead": 10},
    )
    panels[1, 0, 1] = np.nan
    times = np.array(["1980-01-01", "1980-01-02"], "datetime64[ns]")
    series = xr.DataArray(np.eye(2), dims=("time", "component"), coords={"time": times})
    scores = [
        Score("forecast", "sparta", "rrmse", 1 / 3, "%", 25, setting="s", seed=0, published=15.71),
        Score("forecast", "sparta", "rmse", 1e-7, "K", 25, "2m_temperature"),
        Score("classification", "majority", "accuracy", 0.25),
    ]
    return Results(scores, {"map-forecast": panels, "embeddings-sparta": series})


def test_results_come_back_as_they_were(folder, results):
    save_results(folder, CONFIG, results)
    loaded = load_results(folder)
    assert loaded.scores == results.scores
    assert loaded.arrays.keys() == results.arrays.keys()
    for name, array in results.arrays.items():
        xr.testing.assert_equal(loaded.arrays[name], array)
        assert {key: str(v) for key, v in loaded.arrays[name].attrs.items()} == {
            key: str(v) for key, v in array.attrs.items()
        }


def test_only_the_same_evaluation_counts_as_done(folder, results):
    assert not is_evaluated(folder, CONFIG)
    save_results(folder, CONFIG, results)
    assert is_evaluated(folder, CONFIG)
    assert not is_evaluated(folder, replace(CONFIG, report_leads=(1, 5)))


def test_an_interrupted_save_does_not_count(folder, results, monkeypatch):
    write = folder.write

    def fail_at_scores(name, content):
        if name.endswith(".json"):
            raise KeyboardInterrupt
        write(name, content)

    monkeypatch.setattr(folder, "write", fail_at_scores)
    with pytest.raises(KeyboardInterrupt):
        save_results(folder, CONFIG, results)
    assert folder.exists("evaluation/map-forecast.nc")
    assert not is_evaluated(folder, CONFIG)


def test_table_leads_are_the_reports_within_reach_the_first_and_the_last():
    assert EvaluationConfig().table_leads(30) == {1, 25, 30}
    assert EvaluationConfig().table_leads(100) == {1, 25, 50, 75, 100}
    assert EvaluationConfig(report_leads=(7,)).table_leads(9) == {1, 7, 9}
