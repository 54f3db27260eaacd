"""Every file in conf/ is a run or a study that loads; the large ones fit the data they name."""

from pathlib import Path

import numpy as np
import pytest

from sparta_ray.base.config import from_tree, load, to_tree
from sparta_ray.evaluation.published_results import published_variant
from sparta_ray.report.paper_tables import METHODS
from sparta_ray.report.study import variant_name
from sparta_ray.run.checks import check_run
from sparta_ray.run.settings import Run
from sparta_ray.studies.config import load_study
from sparta_ray.studies.trial import trials_of

CONF = Path(__file__).parents[2] / "conf"
STUDIES = [
    CONF / "paper/all.yaml",
    CONF / "paper/methods.yaml",
    *sorted((CONF / "study").iterdir()),
]
STUDIES += sorted((CONF / "sweeps").iterdir())
FILES = sorted(set(CONF.rglob("*.yaml")) - set(STUDIES))
SPARTA = ("pretrain", "joint", "decode")
SAMPLE = np.datetime64("1979-01-01") + np.arange(1461)
ERA5 = np.datetime64("1959-01-01") + np.arange(23_386)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_loads_and_survives_its_tree(path):
    run = load(Run, path)
    assert from_tree(Run, to_tree(run), "tree") == run


def test_names_and_so_run_folders_differ():
    names = [load(Run, path).name for path in FILES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", ["base", "era5", "era5_stream"])
def test_era5_carries_the_run(name):
    run = load(Run, next(path for path in FILES if path.stem == name))
    check_run(run, ERA5, (64, 32))
    assert run.training == Run().training


@pytest.mark.parametrize("name", ["simclr", "supervised", "barlow_twins"])
def test_era5_carries_the_compared_methods(name):
    check_run(load(Run, CONF / f"contrastive/{name}.yaml"), ERA5, (64, 32))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_trial_of_a_study_loads_and_fits_its_data(path):
    study = load_study(str(path))
    days = SAMPLE if study.expects is None else ERA5
    for trial in trials_of(study, str(path)):
        check_run(trial.run, days, (64, 32))


def test_the_presets_are_the_published_rows():
    study = load_study(str(CONF / "paper/all.yaml"))
    runs = {t.variant: t.run for t in trials_of(study, str(CONF / "paper/all.yaml"))}
    files = {p.stem.replace("_", "-") for p in (CONF / "paper").iterdir()}
    assert runs.keys() == files - {"base", "all", "methods"}
    for variant, run in runs.items():
        contrastive = run.training.contrastive
        early = variant.startswith("early")
        assert run.sampling.negatives is ("hn" in variant or not early)
        assert contrastive.cycle_weight == (1 if "cycle" in variant or not early else 0)
        kinds = [stage.kind for stage in run.training.stages]
        assert kinds == (["autoencoder"] if variant == "autoencoder" else [*SPARTA])
        assert all(stage in Run().training.stages for stage in run.training.stages)
        assert run.downstream.forecast == Run().downstream.forecast
        assert run.downstream.seeds == (0, 42, 123)
    assert runs["late-graph"].model.fusion.kind == "graph"
    assert runs["late-attention"].model.fusion.kind == "attention"


def test_the_first_comparison_is_the_published_one():
    study = load_study(str(CONF / "paper/methods.yaml"))
    trials = trials_of(study, str(CONF / "paper/methods.yaml"))
    names = [variant_name(trial.variant) for trial in trials]
    assert names == list(METHODS)
    assert [published_variant(trial.run, "sparta") for trial in trials] == names
