import pytest
import torch

from sparta_ray.losses.cycle import cycle_consistency, cycle_consistency_of_directions


def test_by_hand():
    before, after = torch.ones(3, 2), torch.ones(3, 2)
    assert float(cycle_consistency(before, torch.zeros(3, 2), after)) == 4
    h = torch.tensor([[1.0, 2.0]])
    # (4 - 2 + 0, 5 - 4 + 1) = (2, 2)
    assert float(cycle_consistency(torch.tensor([[0.0, 1.0]]), h, torch.tensor([[4.0, 5.0]]))) == 4


def test_three_equally_spaced_points_score_zero():
    h, step = torch.randn(5, 7, dtype=torch.float64), torch.randn(5, 7, dtype=torch.float64)
    assert float(cycle_consistency(h - step, h, h + step)) == pytest.approx(0, abs=1e-28)


def test_it_equals_a_loop():
    before, h, after = torch.randn(3, 5, 7, dtype=torch.float64)
    terms = [
        float(after[b, d] - 2 * h[b, d] + before[b, d]) ** 2 for b in range(5) for d in range(7)
    ]
    assert float(cycle_consistency(before, h, after)) == pytest.approx(sum(terms) / 35)


def test_half_precision_is_computed_in_float32():
    before, h, after = torch.randn(3, 5, 7).bfloat16()
    loss = cycle_consistency(before, h, after)
    assert loss.dtype == torch.float32
    assert loss == cycle_consistency(before.float(), h.float(), after.float())


def test_its_gradient():
    parts = tuple(torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True) for _ in range(3))
    assert torch.autograd.gradcheck(cycle_consistency, parts)


def test_directions_by_hand():
    x, y, z = 3 * torch.eye(3, dtype=torch.float64)
    of = cycle_consistency_of_directions
    assert float(of(x[None], 5 * x[None], x[None])) == 0
    assert float(of(x[None], -x[None], 2 * x[None])) == pytest.approx(16)
    assert float(of(x[None], y[None], z[None])) == pytest.approx(1 + 4 + 1)
    # a row of each: the mean
    rows = [torch.stack(part) for part in ((x, x, x), (x, -x, y), (x, x, z))]
    assert float(of(*rows)) == pytest.approx((0 + 16 + 6) / 3)


def test_directions_equal_a_loop_and_ignore_lengths():
    before, h, after = torch.randn(3, 5, 7, dtype=torch.float64)
    total = 0.0
    for row in range(5):
        u, v, w = (x[row] / x[row].square().sum().sqrt() for x in (before, h, after))
        total += float((w - 2 * v + u).square().sum())
    loss = cycle_consistency_of_directions(before, h, after)
    assert float(loss) == pytest.approx(total / 5)
    lengths = torch.tensor([[0.1], [1.0], [2.0], [30.0], [400.0]])
    shrunk = cycle_consistency_of_directions(before, 1e-3 * h, after * lengths)
    assert float(shrunk) == pytest.approx(float(loss))


def test_the_gradient_of_directions():
    parts = tuple(torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True) for _ in range(3))
    assert torch.autograd.gradcheck(cycle_consistency_of_directions, parts)
