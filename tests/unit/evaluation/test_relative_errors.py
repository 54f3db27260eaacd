"""A run on wind alone, whose mean is below 0: it has no RRMSE, and everything else."""

import pytest
import torch

from sparta_ray.base.config import from_tree
from sparta_ray.base.durations import DAY
from sparta_ray.base.folder import RunFolder
from sparta_ray.evaluation.forecasting import evaluate_forecast_baselines
from sparta_ray.evaluation.results import Results, load_results, save_results
from sparta_ray.evaluation.setup import Setup
from sparta_ray.metrics.records import Absent
from sparta_ray.report.findings import findings
from sparta_ray.report.tables import score_tables
from sparta_ray.run.settings import Run
from sparta_ray.tasks.forecast import lead_figures
from tests.unit import conftest

WIND = "u_component_of_wind@850"
SETTING = "every_other"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    path = str(folder / "wind.zarr")
    data = conftest.TREE["data"] | {"store": path, "variables": [WIND]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conftest, "OFFSETS", {WIND: -3000.0})
        conftest.write_linear_store(path)
    run = from_tree(Run, conftest.TREE | {"folder": str(folder), "data": data}, "test")
    found = evaluate_forecast_baselines(Setup(run, torch.device("cpu")), SETTING)
    save_results(RunFolder(run.path), run.evaluation, found)
    return load_results(RunFolder(run.path))


def test_a_relative_error_is_absent_with_its_reason_once(results):
    assert [(absent.model, absent.metric) for absent in results.absent] == [
        (model, metric)
        for model in ("persistence", "climatology")
        for metric in ("rrmse", "area-weighted rrmse")
    ]
    assert all("not above 0" in absent.reason for absent in results.absent)
    metrics = {score.metric for score in results.scores}
    assert metrics == {"rmse", "bias", "acc", "ssim", "psnr", "pooled psnr"}
    leads = {score.lead_days for score in results.scores if score.metric == "rmse"}
    assert leads == {1, 2, 3, 4, 5}


def test_tables_figures_and_findings_do_without_it(results):
    assert all("RRMSE" not in table.caption for table in score_tables(results.scores))
    titles = [figure.title for figure in lead_figures(results, DAY)]
    assert len(titles) == 2
    assert titles[0].startswith("Variable by variable")
    assert "no RRMSE to compare" in " ".join(findings(results.scores))


def test_the_same_reason_is_kept_once():
    absent = Absent("forecast", "sparta", "rrmse", "why")
    found = Results().add([absent, absent])
    found.extend(Results(absent=[absent]))
    assert found.absent == [absent]
