import pytest
import torch
from torch.testing import assert_close

from sparta_ray.losses.barlow_twins import barlow_twins


def views(n, p, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (3 + torch.randn(2, n, p, generator=generator, dtype=torch.float64)).unbind()


def by_loops(z_a, z_b, weight):
    """Equation 2.3, of projections centred over the batch."""
    a, b = (z - z.mean(dim=0) for z in (z_a, z_b))
    rows, components = range(len(a)), range(a.shape[1])
    loss = 0.0
    for i in components:
        for j in components:
            product = sum(float(a[n, i] * b[n, j]) for n in rows)
            lengths = [sum(float(z[n, k]) ** 2 for n in rows) ** 0.5 for z, k in ((a, i), (b, j))]
            c = product / (lengths[0] * lengths[1])
            loss += (1 - c) ** 2 if i == j else weight * c**2
    return loss


@pytest.mark.parametrize(("n", "p"), [(2, 3), (7, 4), (13, 2)])
@pytest.mark.parametrize("weight", [0.001, 0.01, 0.1])
def test_it_equals_the_equation(n, p, weight):
    z_a, z_b = views(n, p)
    assert float(barlow_twins(z_a, z_b, weight)) == pytest.approx(by_loops(z_a, z_b, weight))


def test_by_hand():
    z = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert float(barlow_twins(z, 5 * z + 2, 0.1)) == pytest.approx(0)
    # swapped components: each correlates with the other alone, 2 · 1 + λ · 2 · 1
    assert float(barlow_twins(z, z.flip(1), 0.1)) == pytest.approx(2.2)


def test_it_is_blind_to_scale_and_shift_of_each_component():
    z_a, z_b = views(7, 4)
    scale, shift = torch.tensor([0.1, 2.0, 3.0, 40.0]), torch.arange(4)
    assert_close(barlow_twins(z_a * scale + shift, z_b, 0.01), barlow_twins(z_a, z_b, 0.01))


def test_its_gradient():
    z_a, z_b = (z.requires_grad_() for z in views(5, 3))
    assert torch.autograd.gradcheck(lambda a, b: barlow_twins(a, b, 0.01), (z_a, z_b))
