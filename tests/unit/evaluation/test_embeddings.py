from dataclasses import replace

import numpy as np
import pytest
import torch

from sparta_ray.base.seeding import derive_seed
from sparta_ray.downstream.latents import Latents
from sparta_ray.evaluation import embeddings
from sparta_ray.evaluation.setup import Setup
from sparta_ray.metrics.classification import BLOCK_CLUSTERS
from sparta_ray.metrics.latent_space import temporal_distances
from sparta_ray.metrics.sequences import SEQUENCE_METRICS


def test_collapsed_embeddings_have_no_smoothness_but_a_reason(setup, monkeypatch):
    monkeypatch.setattr(Latents, "masked", lambda *_, **__: torch.ones(100, 16))
    results = embeddings.evaluate_embeddings(setup, "sparta")
    blocks = {f"block nmi k={k}" for k in BLOCK_CLUSTERS}
    of_blocks = {"a partition with a single part tells nothing"}
    reasons = {absent.metric: absent.reason for absent in results.absent}
    assert reasons.keys() >= {metric.key for metric in SEQUENCE_METRICS} | blocks | {
        "effective rank"
    }
    assert (
        set(reasons.values())
        == {"the embeddings of all 100 days are equal (collapsed)"} | of_blocks
    )
    assert {score.metric for score in results.scores} == {"mask agreement"}


def test_every_day_but_the_first_is_a_case(setup):
    results = embeddings.evaluate_embeddings(setup, "sparta")
    assert not results.absent
    cases = {found.score.metric: found.days for found in results.windows}
    days = setup.since_1970(np.arange(400, 500))
    assert cases["temporal distance"].tolist() == days[1:].tolist()
    assert cases["relative cycle distance"].tolist() == days[1:-1].tolist()
    assert cases["mask agreement"].tolist() == days.tolist()


def test_smoothness_is_that_of_the_first_days_of_the_whole_test_part(setup):
    few = Setup(with_days(setup.run, 30), setup.device)
    results = embeddings.evaluate_embeddings(few, "sparta")
    seed = derive_seed(derive_seed(setup.run.seed, "evaluation"), "test", 0)
    days = np.arange(400, 430)  # the tasks split 400 to 499 again, and test on 460 to 499
    x = setup.store.read_standardised(days)
    embedder = setup.latents("sparta").embedder
    h_TD = embedder.encode_masked(x, setup.run.downstream.mask, seed, days).numpy()
    np.testing.assert_array_equal(results.arrays["embeddings-sparta"].values, h_TD)
    values = {score.metric: score.value for score in results.scores}
    assert values["temporal distance"] == pytest.approx(temporal_distances(h_TD).mean())
    assert {f"block nmi k={k}" for k in (4, 8, 12, 16, 24)} <= values.keys()
    reasons = {absent.metric: absent.reason for absent in results.absent}
    assert reasons == {"block nmi k=32": "30 days cannot make 32 clusters"}


def with_days(run, count):
    return replace(run, evaluation=replace(run.evaluation, smoothness_days=count))
