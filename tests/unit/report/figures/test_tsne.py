import numpy as np
import pytest

from sparta_ray.report.figures.tsne import _neighbour_probabilities, _squared_distances, tsne


def test_neighbours_stay_neighbours():
    rng = np.random.default_rng(0)
    centres = 20 * np.eye(6)[:3]
    group = np.repeat(np.arange(3), 12)
    h = centres[group] + rng.normal(size=(36, 6))
    y = tsne(h, seed=0, perplexity=8, steps=400)
    apart = np.sqrt(_squared_distances(y))
    np.fill_diagonal(apart, np.inf)
    assert (group[apart.argmin(axis=1)] == group).all()
    same = group[:, None] == group
    assert apart[same & np.isfinite(apart)].mean() < 0.5 * apart[~same].mean()
    np.testing.assert_array_equal(y, tsne(h, seed=0, perplexity=8, steps=400))


def test_every_point_has_as_many_neighbours_as_asked_for():
    h = np.random.default_rng(1).normal(size=(20, 3)) * np.linspace(0.1, 5, 20)[:, None]
    p = _neighbour_probabilities(_squared_distances(h), perplexity=5)
    assert p.sum() == pytest.approx(1)
    assert (p == p.T).all()
    assert (np.diagonal(p) == 0).all()


def test_too_few_points_are_refused():
    with pytest.raises(ValueError, match="at least 4 points, not 3"):
        tsne(np.zeros((3, 2)), seed=0)
