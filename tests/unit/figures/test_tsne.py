import numpy as np
import pytest

from sparta_ray.figures.tsne import tsne


def test_neighbours_stay_neighbours():
    rng = np.random.default_rng(0)
    centres = 20 * np.eye(6)[:3]
    group = np.repeat(np.arange(3), 12)
    h = centres[group] + rng.normal(size=(36, 6))
    y = tsne(h, seed=0, perplexity=8, steps=400)
    apart = np.linalg.norm(y[:, None] - y, axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (group[apart.argmin(axis=1)] == group).all()
    same = group[:, None] == group
    assert apart[same & np.isfinite(apart)].mean() < 0.5 * apart[~same].mean()
    np.testing.assert_array_equal(y, tsne(h, seed=0, perplexity=8, steps=400))


@pytest.mark.parametrize("count", [4, 5, 9])
def test_a_few_points_have_their_places_too(count):
    y = tsne(np.random.default_rng(1).normal(size=(count, 3)).astype(np.float32), seed=0)
    assert y.shape == (count, 2)
    assert np.isfinite(y).all()


def test_too_few_points_are_refused():
    with pytest.raises(ValueError, match="at least 4 points, not 3"):
        tsne(np.zeros((3, 2)), seed=0)
