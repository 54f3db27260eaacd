import math

import numpy as np
import pytest

from sparta_ray.metrics import latent_space
from sparta_ray.metrics.latent_space import (
    cycle_distances,
    densities,
    effective_rank,
    principal_components,
    realisms,
    temporal_distances,
    total_variance,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_distances_by_hand():
    h = np.array([[0.0, 0], [1, 0], [1, 2], [1, 2]], dtype=np.float32)
    # Steps (1, 0), (0, 2), (0, 0). Bends (-1, 2), (0, -2).
    assert temporal_distances(h).tolist() == [1, 4, 0]
    assert cycle_distances(h).tolist() == [5, 4]
    assert total_variance(h) == pytest.approx(3 / 16 + 1)


def test_the_rank_of_collapsed_embeddings_is_an_error():
    with pytest.raises(ValueError, match="collapsed"):
        effective_rank(np.ones((5, 3)))


def test_density_and_realism_equal_loops(rng, monkeypatch):
    monkeypatch.setattr(latent_space, "ROWS_AT_ONCE", 4)  # several ragged chunks
    generated, real = rng.normal(size=(9, 5)) + 100, rng.normal(size=(11, 5)) + 100
    density, reality = 0.0, 0.0
    for g in generated:
        density += np.mean([math.exp(-((g - r) ** 2).sum() / (2 * 0.7**2)) for r in real])
        ratios = []
        for i, r in enumerate(real):
            others = sorted(np.linalg.norm(r - q) for j, q in enumerate(real) if j != i)
            ratios.append(others[2] / np.linalg.norm(g - r))
        reality += max(ratios)
    assert densities(generated, real, sigma=0.7).mean() == pytest.approx(density / 9)
    assert realisms(generated, real, k=3).mean() == pytest.approx(reality / 9)


def test_density_by_hand():
    # Squared distances 0 and 800 with σ = 20: (1 + 1/e) / 2.
    real = np.array([[0.0], [math.sqrt(800)]])
    assert densities(np.array([[0.0]]), real).mean() == pytest.approx((1 + math.exp(-1)) / 2)


def test_realism_of_a_far_sample_is_low_and_needs_enough_neighbours(rng):
    real = rng.normal(size=(40, 3))
    assert realisms(real + 1000, real).max() < 0.01
    assert realisms(real + 1e-3, real).min() > 10
    with pytest.raises(ValueError, match="more than 5"):
        realisms(real, real[:5])


def test_effective_rank_counts_equal_directions(rng):
    line = np.outer(np.arange(9.0), [1, 2, 3])
    assert effective_rank(line + 5) == pytest.approx(1)
    square = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    assert effective_rank(square) == pytest.approx(2)


def test_principal_components_of_an_ellipse():
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    h = np.column_stack([0 * angle, 3 * np.cos(angle), np.sin(angle)]) + 7
    components, share = principal_components(h)
    np.testing.assert_allclose(components, np.column_stack([h[:, 1] - 7, h[:, 2] - 7]), atol=1e-9)
    np.testing.assert_allclose(share, [0.9, 0.1])
    mirrored, _ = principal_components(-h)
    np.testing.assert_allclose(mirrored, -components, atol=1e-9)
