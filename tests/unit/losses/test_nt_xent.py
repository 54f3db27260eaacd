import math

import pytest
import torch
from torch.testing import assert_close

from sparta_ray.losses.nt_xent import nt_xent


def pair(n, p, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, n, p, generator=generator, dtype=torch.float64).to(dtype).unbind()


def by_loops(z_a, z_b, temperature):
    """Equations 4 and 5, term by term."""
    z = [*z_a.double(), *z_b.double()]
    n = len(z_a)

    def similarity(i, k):
        return float(z[i] @ z[k] / (z[i].norm() * z[k].norm()))

    total = 0.0
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        others = [math.exp(similarity(i, k) / temperature) for k in range(2 * n) if k != i]
        total -= math.log(math.exp(similarity(i, partner) / temperature) / sum(others))
    return total / (2 * n)


@pytest.mark.parametrize("n", [1, 2, 5, 13])
@pytest.mark.parametrize("temperature", [0.1, 0.3, 2.0])
def test_it_equals_the_equation(n, temperature):
    z_a, z_b = pair(n, 7)
    assert float(nt_xent(z_a, z_b, temperature)) == pytest.approx(by_loops(z_a, z_b, temperature))


@pytest.mark.parametrize("n", [2, 5, 42])
def test_rows_that_are_all_alike_score_log_2n_minus_1(n):
    same = torch.ones(n, 3, dtype=torch.float64)
    assert float(nt_xent(same, 2 * same, 0.3)) == pytest.approx(math.log(2 * n - 1))


def test_two_opposite_pairs_by_hand():
    z = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    # each row: its partner at similarity 1, two others at -1
    expected = -math.log(math.e / (math.e + 2 / math.e))
    assert float(nt_xent(z, z, 1.0)) == pytest.approx(expected)


def test_it_is_symmetric_and_blind_to_length_and_order():
    z_a, z_b = pair(6, 4)
    loss = nt_xent(z_a, z_b, 0.3)
    assert_close(nt_xent(z_b, z_a, 0.3), loss)
    assert_close(nt_xent(5 * z_a, 0.2 * z_b, 0.3), loss)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    assert_close(nt_xent(z_a[order], z_b[order], 0.3), loss)
    assert nt_xent(z_a[order], z_b, 0.3) != loss


def test_its_gradient():
    z_a, z_b = (z.requires_grad_() for z in pair(4, 3))
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, 0.3), (z_a, z_b))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    z_a, z_b = pair(9, 16, dtype=dtype)
    loss = nt_xent(z_a, z_b, 0.1)
    assert loss.dtype == torch.float32
    assert_close(loss, nt_xent(z_a.float(), z_b.float(), 0.1), rtol=0, atol=0)


def test_autocast_does_not_lower_its_precision():
    z_a, z_b = pair(9, 16, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        loss = nt_xent(z_a, z_b, 0.1)
    assert_close(loss, nt_xent(z_a, z_b, 0.1), rtol=0, atol=0)
