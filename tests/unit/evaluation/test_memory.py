"""Fields are read, decoded and scored a few days at a time, with the same scores."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from sparta_ray.data.plan.splits import SplitConfig
from sparta_ray.data.store import day_blocks
from sparta_ray.data.store.store import Store
from sparta_ray.evaluation import generation
from sparta_ray.evaluation.embeddings import evaluate_embeddings, evaluate_probes
from sparta_ray.evaluation.forecasting import (
    evaluate_forecast_baselines,
    evaluate_forecast_bound,
)
from sparta_ray.evaluation.generation import evaluate_diffusion_bound
from sparta_ray.evaluation.reconstruction import evaluate_reconstruction
from sparta_ray.evaluation.robustness import evaluate_robustness
from sparta_ray.evaluation.setup import Setup
from sparta_ray.tasks.registry import task_named
from sparta_ray.tasks.task import DownstreamTask

SETTING = "every_other"


def of_trial(task, setting=""):
    def evaluate(setup, save_random):
        found: DownstreamTask = task_named(task)
        return found.evaluate(setup, save_random("sparta", task, setting))

    return evaluate


PARTS = {
    "reconstruction": lambda setup, _: evaluate_reconstruction(setup),
    "embeddings": lambda setup, _: evaluate_embeddings(setup, "sparta"),
    "probes": lambda setup, _: evaluate_probes(setup, "sparta"),
    "robustness": lambda setup, _: evaluate_robustness(setup, "sparta"),
    "diffusion bound": lambda setup, _: evaluate_diffusion_bound(setup, "sparta"),
    "forecast bound": lambda setup, _: evaluate_forecast_bound(setup, "sparta", SETTING),
    "forecast baselines": lambda setup, _: evaluate_forecast_baselines(setup, SETTING),
    "forecast": of_trial("forecast", SETTING),
    "diffusion": of_trial("diffusion"),
    "classification": of_trial("classification"),
}


def values(results):
    """Return every score and every array by name."""
    scores = {(s.model, s.metric, s.lead_days, s.variable): s.value for s in results.scores}
    cases = {
        (w.score.model, w.score.metric, w.score.lead_days, w.score.variable): w.sums.sum()
        for w in results.windows
    }
    return scores, cases, {name: array.values for name, array in results.arrays.items()}


@pytest.mark.parametrize("part", PARTS)
def test_no_part_reads_more_days_at_once_than_it_scores(setup, save_random, monkeypatch, part):
    expected = values(PARTS[part](setup, save_random))
    setup.truth.climatology(setup.test_days[:1])  # sums the training days, in blocks of its own
    read, largest = Store.read, []

    def counted(store, days):
        largest.append(len(days))
        return read(store, days)

    monkeypatch.setattr(Store, "read", counted)
    monkeypatch.setattr(day_blocks, "DAYS_AT_ONCE", 2)
    monkeypatch.setattr(generation, "DAYS_AT_ONCE", 2)
    fresh = Setup(setup.run, setup.device)
    fresh.__dict__["truth"] = setup.truth
    found = values(PARTS[part](fresh, save_random))
    assert 1 <= max(largest) <= 2
    for ours, theirs in zip(found[:2], expected[:2], strict=True):
        assert ours == pytest.approx(theirs, rel=2e-3, abs=1e-5)
    for name, array in expected[2].items():
        np.testing.assert_allclose(found[2][name], array, rtol=1e-3, atol=0.05)


def peak(setup, evaluate):
    tracemalloc.start()
    evaluate(setup)
    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return highest


@pytest.mark.parametrize(
    "evaluate",
    [
        evaluate_reconstruction,
        lambda setup: evaluate_forecast_bound(setup, "sparta", SETTING),
        lambda setup: setup.latents("sparta").whole(setup.parts["test"]),
        lambda setup: setup.masked("sparta"),
    ],
    ids=["reconstruction", "forecast bound", "whole", "masked"],
)
def test_memory_does_not_grow_with_the_days(setup, monkeypatch, evaluate):
    monkeypatch.setattr(day_blocks, "DAYS_AT_ONCE", 8)
    peaks = []
    for shares in (0.4, 0.05):
        split = SplitConfig(train=shares, validation=shares)
        run = replace(setup.run, downstream=replace(setup.run.downstream, split=split))
        here = Setup(run, torch.device("cpu"))
        here.__dict__["truth"] = setup.truth
        setup.truth.climatology(setup.test_days[:1])
        peaks.append(peak(here, evaluate))
    assert len(here.test_days) == 90  # after 20
    assert peaks[1] < 1.3 * peaks[0]
