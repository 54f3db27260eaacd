"""Which masks the robustness curves are drawn for."""

import numpy as np
import pytest
import torch

from sparta_ray.base.config import from_tree
from sparta_ray.base.grids import Grid
from sparta_ray.data.store.store import Store
from sparta_ray.evaluation.robustness import evaluate_robustness
from sparta_ray.evaluation.setup import Setup
from sparta_ray.run.settings import Run
from sparta_ray.training.model_card import ModelCard, save_model

EUROPE = Grid(np.arange(-10.0, 30, 1.25), np.arange(35.0, 75, 1.25))
TREE = {
    "name": "regional",
    "views": {"resize": [40, 40], "crop": [36, 36]},
    "model": {"width": 0.05, "decoder_width": 0.2, "embedding": 16, "projection": 8},
    "downstream": {"split": {"train": 0.5, "validation": 0.1}, "forecast": {}},
    "evaluation": {"robustness_days": 2, "robustness_ratios": [0, 0.5]},
}


@pytest.mark.parametrize("region", [EUROPE, None])
def test_shapes_laid_out_over_the_globe_are_left_out_for_a_region(make_store, tmp_path, region):
    path = make_store(days=80, grid=(32, 32), region=region)
    data = {"store": path, "split": {"train": 0.6, "validation": 0.1}}
    run = from_tree(Run, TREE | {"folder": str(tmp_path), "data": data}, "test")
    for kind in run.models:
        card = ModelCard.describe(kind, run.model, run.views, Store(path))
        save_model(f"{run.path}/models/{kind}", card, card.build().state_dict())
    found = evaluate_robustness(Setup(run, torch.device("cpu")), "sparta")
    measured = found.arrays["robustness-sparta"].notnull().all(("measure", "place", "ratio"))
    kinds = {str(shape) for shape in measured["shape"].values[measured.values]}
    everywhere, laid_out = {"points", "variables"}, {"swath", "block", "stations"}
    assert kinds == (everywhere if region else everywhere | laid_out)
