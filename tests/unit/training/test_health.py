import pytest
import torch

from sparta_ray.data.batches.expand import Fields, Views
from sparta_ray.metrics.latent_space import effective_rank
from sparta_ray.models.sparta import ModelConfig
from sparta_ray.training.health import (
    HealthConfig,
    collapse,
    embedding_health,
    measure_health,
    pair_health,
    projection_health,
)
from sparta_ray.training.stages import build_model


def test_embeddings_by_hand():
    h = torch.tensor([[1.0, 2.0], [1.0, 4.0]])  # one direction, 1 to each side of (1, 3)
    health = embedding_health(h)
    assert health["embedding_variance"] == pytest.approx(1)
    assert health["embedding_relative_variance"] == pytest.approx(1 / 11)  # of (5 + 17) / 2
    assert health["embedding_effective_rank"] == pytest.approx(1)
    square = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert embedding_health(square)["embedding_effective_rank"] == pytest.approx(2)


def test_the_effective_rank_is_that_of_the_evaluation():
    h = torch.randn(9, 5) @ torch.randn(5, 5)
    expected = effective_rank(h.numpy())
    assert embedding_health(h)["embedding_effective_rank"] == pytest.approx(expected, rel=1e-5)


def test_projections_by_hand():
    z = torch.tensor([[2.0, 0.0], [-0.5, 0.0]])
    expected = {"alignment": 0, "uniformity": -8, "positive_cosine": 1, "negative_cosine": -1}
    assert projection_health(z, 3 * z) == pytest.approx(expected)
    aside = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    health = projection_health(z, aside)
    assert (health["alignment"], health["positive_cosine"]) == pytest.approx((2, 0))
    same = projection_health(aside, aside)
    assert (same["uniformity"], same["negative_cosine"]) == pytest.approx((0, 1))


def test_pairs_by_hand():
    h = torch.tensor([[3.0, 0.0], [0.0, 0.5]])
    expected = {"positive_cosine": 1, "negative_cosine": 0, "separation": 1}
    expected = {f"embedding_{name}": value for name, value in expected.items()}
    assert pair_health(h, 2 * h) == pytest.approx(expected)
    assert pair_health(h, h.flip(0))["embedding_separation"] == pytest.approx(0)
    opposite = torch.tensor([[1.0, 0.0], [-2.0, 0.0]])
    assert pair_health(opposite, opposite)["embedding_separation"] == pytest.approx(2)


def test_equal_embeddings_and_those_on_a_line_count_as_collapsed():
    config = HealthConfig()
    assert collapse(embedding_health(torch.randn(8, 6)), config) is None
    text = collapse(embedding_health(torch.ones(4, 3)), config)
    assert text == "embedding effective rank 0 is below 2"
    line = torch.arange(4.0)[:, None] * torch.ones(3)
    assert collapse(embedding_health(line), config) is not None
    noise = 1 + 1e-6 * torch.randn(8, 6)
    assert "relative variance" in str(collapse(embedding_health(noise), config))
    assert collapse({"negative_cosine": 0.97}, config) == "negative cosine 0.97 is above 0.95"


def test_a_model_is_measured_in_eval_mode_and_left_unchanged():
    model = build_model(
        "sparta", "abc", (64, 32), ModelConfig(width=0.05, embedding=12, projection=6)
    ).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    view = torch.randn(5, 3, 40, 34)
    fields = Fields(torch.randn(5, 3, 64, 32), None, None)
    full = measure_health(model, Views(view, view, view, view, fields), 5)
    assert full["alignment"] == pytest.approx(0, abs=1e-6)
    embeddings = measure_health(model, Views(None, None, None, view, fields), 5)
    assert embeddings.items() < full.items()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
