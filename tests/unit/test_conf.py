"""Every file in conf/ is a run that loads, and the large ones fit the data that they name."""

from pathlib import Path

import numpy as np
import pytest

from sparta_ray.config import from_tree, load, to_tree
from sparta_ray.run import Run, check_run

FILES = sorted((Path(__file__).parents[2] / "conf").rglob("*.yaml"))
ERA5 = np.datetime64("1959-01-01") + np.arange(23_386)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_loads_and_survives_its_tree(path):
    run = load(Run, path)
    assert from_tree(Run, to_tree(run), "tree") == run


def test_names_and_so_run_folders_differ():
    names = [load(Run, path).name for path in FILES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", ["paper", "era5", "era5_stream"])
def test_era5_carries_the_run(name):
    run = load(Run, next(path for path in FILES if path.stem == name))
    check_run(run, ERA5, (64, 32))
    assert run.training == Run().training


@pytest.mark.parametrize(
    "name", ["late_attention", "late_graph", "simclr", "supervised", "barlow_twins"]
)
def test_era5_carries_the_published_variants(name):
    check_run(load(Run, next(path for path in FILES if path.stem == name)), ERA5, (64, 32))
