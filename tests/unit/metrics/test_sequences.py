import numpy as np
import pytest

from sparta_ray.metrics.embeddings import MaskAgreement, NegativeCosine, PositiveCosine
from sparta_ray.metrics.sequences import (
    SEQUENCE_METRICS,
    AdjacentCosine,
    CentredAdjacentCosine,
    CycleDistance,
    LagOneAutocorrelation,
    RelativeCycleDistance,
    RelativeTemporalDistance,
    TemporalDistance,
    why_not_smooth,
)


def score(metric, *embeddings):
    return float(metric.result(metric.statistics(*embeddings).sum(axis=1)))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_distances_by_hand():
    h = np.array([[0.0, 0], [1, 0], [1, 2], [1, 2]], dtype=np.float32)
    # Steps (1, 0), (0, 2), (0, 0): 1, 4, 0. Bends (-1, 2), (0, -2): 5, 4. Variance 3 / 16 + 1.
    assert score(TemporalDistance(), h) == pytest.approx(5 / 3)
    assert score(CycleDistance(), h) == pytest.approx(4.5)
    assert score(RelativeTemporalDistance(), h) == pytest.approx(5 / 3 / (19 / 16))
    assert score(RelativeCycleDistance(), h) == pytest.approx(4.5 / (19 / 16))


def test_relative_distances_do_not_depend_on_scale_or_origin(rng):
    h = rng.normal(size=(50, 7))
    for metric in (RelativeTemporalDistance(), RelativeCycleDistance(), LagOneAutocorrelation()):
        assert score(metric, 14 * h + 3) == pytest.approx(score(metric, h))
    assert score(TemporalDistance(), 14 * h) == pytest.approx(196 * score(TemporalDistance(), h))


def test_unrelated_days_have_relative_distances_of_two_and_six_and_no_correlation(rng):
    h = rng.normal(size=(5000, 20)) + 1
    assert score(RelativeTemporalDistance(), h) == pytest.approx(2, rel=0.02)
    assert score(RelativeCycleDistance(), h) == pytest.approx(6, rel=0.02)
    assert score(LagOneAutocorrelation(), h) == pytest.approx(0, abs=0.02)
    assert score(CentredAdjacentCosine(), h) == pytest.approx(0, abs=0.02)
    assert score(AdjacentCosine(), h) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("metric", SEQUENCE_METRICS, ids=lambda metric: metric.key)
def test_each_case_has_a_day(metric, rng):
    days = np.arange(9.0)
    cases = metric.statistics(rng.normal(size=(9, 4)).astype(np.float32)).shape[1]
    assert metric.days(days).tolist() == list(range(1, 1 + cases))


def test_collapsed_or_too_few_embeddings_are_not_smooth():
    assert "(collapsed)" in why_not_smooth(np.ones((5, 3)))
    assert why_not_smooth(np.eye(2)) == "needs at least 3 consecutive days, not 2"
    assert why_not_smooth(np.eye(3)) == ""


def test_pairs_of_views_by_hand():
    first = np.array([[1.0, 0], [0, 2], [3, 0]])
    second = np.array([[2.0, 0], [0, 1], [0, 1]])
    assert score(PositiveCosine(), first, second) == pytest.approx((1 + 1 + 0) / 3)
    # Of other days: 0, 0; 0, 1; 1, 0.
    assert score(NegativeCosine(), first, second) == pytest.approx((0 + 0.5 + 0.5) / 3)


def test_mask_agreement_is_one_for_equal_embeddings(rng):
    h = rng.normal(size=(6, 3)).astype(np.float32)
    assert score(MaskAgreement(), h, h) == pytest.approx(1)
    assert score(MaskAgreement(), 2 * h.mean(axis=0) - h, h) == pytest.approx(-1)
