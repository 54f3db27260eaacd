import math

import pytest
import torch
from torch.testing import assert_close

from sparta_ray.losses.nt_xent import nt_xent
from sparta_ray.losses.soft_contrastive import soft_contrastive

STEPS = [100, 7, 111, 104, 4001, 7]  # the last was drawn twice


def views(n=6, p=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, n, p, generator=generator, dtype=torch.float64).unbind()


def by_loops(z_a, z_b, steps, temperature, sharpness):
    """Equations 2.4 to 2.6, term by term; t counts projections, and t mod T is their row."""
    z, rows = [*z_a, *z_b], len(steps)

    def weight(t, s):
        return 2 / (1 + math.exp(sharpness * abs(steps[t % rows] - steps[s % rows])))

    def similarity(t, s):
        return float(z[t] @ z[s] / (z[t].norm() * z[s].norm())) / temperature

    total = 0.0
    for t in range(2 * rows):
        others = sum(math.exp(similarity(t, s)) for s in range(2 * rows) if s != t)
        log_p = {s: similarity(t, s) - math.log(others) for s in range(2 * rows) if s != t}
        partner = (t + rows) % (2 * rows)
        total -= log_p.pop(partner)
        total -= sum(weight(t, s) * value for s, value in log_p.items())
    return total / (2 * rows)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("sharpness", [0.01, 0.1])
def test_it_equals_the_equations(temperature, sharpness):
    z_a, z_b = views()
    loss = soft_contrastive(z_a, z_b, torch.tensor(STEPS), temperature, sharpness)
    assert float(loss) == pytest.approx(by_loops(z_a, z_b, STEPS, temperature, sharpness))


def test_what_it_tends_to():
    z_a, z_b = views()
    steps = 10 * torch.arange(6)
    assert_close(soft_contrastive(z_a, z_b, steps, 0.3, 5.0), nt_xent(z_a, z_b, 0.3))
    # without any sharpness all others are full positives; all alike, each has a share of 1 / 11
    same = torch.ones(6, 2, dtype=torch.float64)
    loss = soft_contrastive(same, same, steps, 0.3, 1e-12)
    assert float(loss) == pytest.approx(11 * math.log(11))


def test_its_gradient():
    z_a, z_b = (z.requires_grad_() for z in views(4, 3))
    steps = torch.tensor([3, 4, 9, 60])
    assert torch.autograd.gradcheck(
        lambda a, b: soft_contrastive(a, b, steps, 0.3, 0.1), (z_a, z_b)
    )
