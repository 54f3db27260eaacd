"""A finished run with untrained models, on a store in which every value tells its day."""

import numpy as np
import pytest
import torch

from sparta_ray.base.config import from_tree
from sparta_ray.base.folder import RunFolder
from sparta_ray.base.variables import parse
from sparta_ray.data.store import store
from sparta_ray.data.store import writer as store_writer
from sparta_ray.data.store.layout import StoreLayout
from sparta_ray.data.store.statistics import Statistics
from sparta_ray.evaluation.setup import Setup
from sparta_ray.run.settings import Run
from sparta_ray.run.trial import Trial, save_trial
from sparta_ray.tasks.trials import fresh_model
from sparta_ray.training.model_card import ModelCard, save_model
from tests.published import SWITCHES, study_scores_of

OFFSETS = {"2m_temperature": 200.0, "geopotential@850": 13000.0, "u_component_of_wind@850": -300.0}
"""The field of day t is t plus this, everywhere."""

DAYS, YEAR, GRID = 500, 365, (64, 32)
"""From 1 January 1979 on: the first year trains, days 460 to 499 are the downstream test part."""

TREE = {
    "name": "linear",
    "seed": 3,
    "data": {"split": {"train": 0.73, "validation": 0.07}},
    "views": {"resize": [40, 24], "crop": [36, 20]},
    "model": {"width": 0.05, "decoder_width": 0.2, "embedding": 16, "projection": 8},
    "downstream": {
        "split": {"train": 0.5, "validation": 0.1},
        "seeds": [7],
        "forecast": {
            "every_other": {"look_back": 3, "stride": 2, "hidden": 8, "lead_days": 5},
            "lookback30_stride1": {"look_back": 14, "hidden": 8, "lead_days": 26},
        },
        "diffusion": {
            "steps": 5,
            "widths": [16, 8, 4],
            "heads": 2,
            "time_features": 8,
            "samples": 3,
        },
        "classification": {"hidden": [8]},
    },
    "evaluation": {
        "report_leads": [1, 3, 25],
        "climatology_half_window": 2,
        "diffusion_days": 7,
        "realism_neighbours": 2,
        "robustness_days": 3,
        "robustness_ratios": [0, 0.9],
    },
}


def write_linear_store(path):
    offsets = np.array(list(OFFSETS.values()))
    values = np.arange(DAYS)[:, None] + offsets
    fields = np.broadcast_to(values[:, :, None, None], (*values.shape, *GRID)).astype(np.float32)
    layout = StoreLayout(
        days=np.datetime64("1979-01-01") + np.arange(DAYS),
        variables=tuple(OFFSETS),
        units=tuple(parse(label).definition.units for label in OFFSETS),
        longitude=np.arange(GRID[0]) * 360.0 / GRID[0],
        latitude=-90 + (np.arange(GRID[1]) + 0.5) * 180 / GRID[1],
        provenance={"simulated": True, "licence": "Made up.", "title": "days", "source": "none"},
    )
    store_writer.write_template(path, layout)
    for shard in range(layout.shards):
        start, stop = layout.shard_days(shard)
        store_writer.write_shard(path, start, fields[start:stop])
    store_writer.mark_complete(path, Statistics.of(fields[:YEAR]), YEAR, "linear")


@pytest.fixture(scope="session")
def offsets():
    """What is added to the day's index, by variable."""
    return OFFSETS


@pytest.fixture(scope="session")
def linear_run(tmp_path_factory):
    """A run whose models are saved with random weights."""
    folder = tmp_path_factory.mktemp("runs")
    path = str(folder / "linear.zarr")
    write_linear_store(path)
    data = TREE["data"] | {"store": path}
    run = from_tree(Run, TREE | {"folder": str(folder), "data": data}, "test")
    torch.manual_seed(5)
    for kind in run.models:
        card = ModelCard.describe(kind, run.model, run.views, store.Store(path))
        model = card.build()
        with torch.no_grad():
            for name, parameter in model.decoder.named_parameters():
                parameter.mul_(0 if name.endswith("bias") else 2)  # fields follow h alone
        save_model(f"{run.path}/models/{kind}", card, model.state_dict())
    return run


@pytest.fixture(scope="session")
def save_random(linear_run):
    """Return a function that saves a trial with random weights, large enough to matter."""

    def save(model, task, setting=""):
        trial = Trial(model, task, setting, seed=7)
        torch.manual_seed(2)
        network = fresh_model(linear_run, trial)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(3)
        save_trial(RunFolder(linear_run.path), trial, network)
        return trial

    return save


@pytest.fixture(scope="session")
def setup(linear_run):
    return Setup(linear_run, torch.device("cpu"))


@pytest.fixture(scope="session")
def value_of():
    """Return a function that looks up the one value of some scores that are so."""

    def look_up(scores, metric, model=None, variable=None, lead_days=None):
        wanted = (metric, variable, lead_days)
        found = [
            score.value
            for score in scores
            if (score.metric, score.variable, score.lead_days) == wanted
            and model in (None, score.model)
        ]
        assert len(found) == 1, (wanted, found)
        return found[0]

    return look_up


@pytest.fixture(scope="module")
def study_scores():
    """Of all published variants but one, which failed."""
    run = [variant for variant in SWITCHES if variant != "sparta_late_graph"]
    return study_scores_of(*run, empty={"sparta_late_graph": "failed: no memory"})
