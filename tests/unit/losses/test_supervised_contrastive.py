import math

import pytest
import torch
from torch.testing import assert_close

from sparta_ray.losses.nt_xent import nt_xent
from sparta_ray.losses.supervised_contrastive import supervised_contrastive

LABELS = [2, 0, 2, 1, 0, 2, 3]


def views(n=7, p=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, n, p, generator=generator, dtype=torch.float64).unbind()


def by_loops(z_a, z_b, labels, temperature):
    """Equation 2.2, term by term."""
    z = [*z_a, *z_b]
    labels = [*labels, *labels]
    everything = range(len(z))

    def similarity(i, k):
        return float(z[i] @ z[k] / (z[i].norm() * z[k].norm())) / temperature

    total = 0.0
    for i in everything:
        others = sum(math.exp(similarity(i, a)) for a in everything if a != i)
        positives = [p for p in everything if p != i and labels[p] == labels[i]]
        shares = [math.log(math.exp(similarity(i, p)) / others) for p in positives]
        total -= sum(shares) / len(positives)
    return total / len(z)


@pytest.mark.parametrize("temperature", [0.07, 0.1, 1.0])
def test_it_equals_the_equation(temperature):
    z_a, z_b = views()
    loss = supervised_contrastive(z_a, z_b, torch.tensor(LABELS), temperature)
    assert float(loss) == pytest.approx(by_loops(z_a, z_b, LABELS, temperature))


def test_rows_of_as_many_labels_make_it_nt_xent():
    z_a, z_b = views()
    assert_close(supervised_contrastive(z_a, z_b, torch.arange(7), 0.1), nt_xent(z_a, z_b, 0.1))


def test_two_seasons_by_hand():
    # each projection: 3 others of its season at similarity 1, 4 of the other at -1
    z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    expected = math.log((3 * math.e + 4 / math.e) / math.e)
    loss = supervised_contrastive(z, z, torch.tensor([0, 0, 3, 3]), 1.0)
    assert float(loss) == pytest.approx(expected)


def test_its_gradient():
    z_a, z_b = (z.requires_grad_() for z in views(4, 3))
    labels = torch.tensor([0, 1, 0, 2])
    assert torch.autograd.gradcheck(
        lambda a, b: supervised_contrastive(a, b, labels, 0.3), (z_a, z_b)
    )
