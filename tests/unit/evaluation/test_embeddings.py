import numpy as np

from sparta_ray.evaluation import embeddings
from sparta_ray.metrics.sequences import SEQUENCE_METRICS


def test_collapsed_embeddings_have_no_smoothness_but_a_reason(setup, monkeypatch):
    masked = setup.masked("sparta")
    monkeypatch.setitem(setup._masked, "sparta", masked * 0 + 1)
    results = embeddings.evaluate_embeddings(setup, "sparta")
    reasons = {absent.metric: absent.reason for absent in results.absent}
    assert reasons.keys() >= {metric.key for metric in SEQUENCE_METRICS} | {"effective rank"}
    assert set(reasons.values()) == {"the embeddings of all 40 days are equal (collapsed)"}
    assert {score.metric for score in results.scores} == {"mask agreement"}


def test_every_day_but_the_first_is_a_case(setup):
    results = embeddings.evaluate_embeddings(setup, "sparta")
    assert not results.absent
    cases = {found.score.metric: found.days for found in results.windows}
    days = setup.since_1970(np.arange(460, 500))
    assert cases["temporal distance"].tolist() == days[1:].tolist()
    assert cases["relative cycle distance"].tolist() == days[1:-1].tolist()
    assert cases["mask agreement"].tolist() == days.tolist()
