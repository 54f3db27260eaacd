"""Every numbered figure of the documents, drawn from a study that has what it shows."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from sparta_ray.base.config import from_tree
from sparta_ray.base.folder import RunFolder
from sparta_ray.evaluation.results import Results
from sparta_ray.report.study import Member, Study
from sparta_ray.report.study_figures import PAPER_FIGURES, draw, study_figures
from sparta_ray.run.settings import Run

SPARTA, AUTOENCODER, PLAIN = "sparta_early_hn_cycle", "autoencoder", "sparta_early"
LATE = ("sparta_late_attention", "sparta_late_graph")
METHODS = ("barlow_twins", "simclr", "supcon")
DAYS = pd.date_range("1980-01-01", periods=30)
VARIABLES = ["2m_temperature", "geopotential@850"]


def arrays_of(run, kind, number):
    """Return embeddings, pairs of views and forecast errors, other ones for each number."""
    rng = np.random.default_rng(number)
    forecast = f"errors-{kind}-forecast-lookback30_stride1-seed{run.downstream.seeds[0]}"
    grid = {"longitude": np.arange(0, 360, 45.0), "latitude": np.arange(-75, 90, 30.0)}
    return {
        f"embeddings-{kind}": xr.DataArray(
            rng.standard_normal((30, 6)), dims=("time", "component"), coords={"time": DAYS}
        ),
        f"pairs-{kind}": xr.DataArray(
            rng.standard_normal((2, 20, 6)),
            dims=("view", "time", "component"),
            coords={"time": DAYS[:20]},
        ),
        forecast: xr.DataArray(
            rng.standard_normal((1, 2, 8, 6)),
            dims=("panel", "variable", "longitude", "latitude"),
            coords={"panel": ["error"], "variable": VARIABLES, **grid},
            attrs={"lead": 50, "day": "1980-03-01"},
        ),
    }


def member(path, variant, number):
    kind = "autoencoder" if variant == AUTOENCODER else "sparta"
    stages = ["autoencoder"] if variant == AUTOENCODER else ["pretrain", "joint"]
    tree = {"name": variant, "training": {"stages": [{"kind": stage} for stage in stages]}}
    run = from_tree(Run, tree, "test")
    folder = RunFolder(str(path / variant))
    history = [
        {"event": "epoch", "stage": stage, "epoch": epoch, "train_loss": 3.0 - epoch}
        for stage in stages
        for epoch in range(3)
    ]
    folder.write("metrics.jsonl", "".join(json.dumps(record) + "\n" for record in history))
    results = Results()
    results.arrays.update(arrays_of(run, kind, number))
    return Member(variant, run, folder, "print", results)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("figures")
    variants = (SPARTA, AUTOENCODER, PLAIN, *LATE, *METHODS)
    members = tuple(member(path, variant, number) for number, variant in enumerate(variants))
    return Study("all", str(path), members, {})


def test_every_number_is_there():
    assert [figure.number for figure in PAPER_FIGURES] == [
        *("3.1", "3.2", "3.3", "3.4", "3.5"),
        *map(str, range(7, 18)),
    ]


@pytest.mark.parametrize("spec", PAPER_FIGURES, ids=lambda spec: spec.number)
def test_a_figure_is_drawn_where_its_runs_are(study, spec):
    (figure,) = draw(spec, study)
    assert figure.title.startswith(f"Figure {spec.number}: ")
    assert figure.figure.axes[0].has_data()


def test_distances_are_those_of_the_embeddings(study):
    (spec,) = (spec for spec in PAPER_FIGURES if spec.number == "16")
    (figure,) = draw(spec, study)
    lines = {line.get_label(): line.get_ydata() for line in figure.figure.axes[0].lines}
    for name, variant in (
        ("SPARTA late fusion, self-attention", LATE[0]),
        ("SPARTA late fusion, graph", LATE[1]),
    ):
        found = next(m for m in study.members if m.variant == variant)
        h = found.results.arrays["embeddings-sparta"].values
        assert_allclose(lines[name], (np.diff(h, axis=0) ** 2).sum(axis=1))


def test_what_is_not_drawn_is_said(study):
    without = replace(study, members=study.members[:3])
    drawn, notes = study_figures(without)
    assert len(drawn) == 16 - 5
    assert notes == [
        "Figures 3.3, 3.4, 3.5, 16, 17 of the documents are not drawn, because the runs that they "
        "show are not part of this report."
    ]
    assert study_figures(study)[1] == []
