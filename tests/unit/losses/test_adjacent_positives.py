import math

import pytest
import torch

from sparta_ray.losses.adjacent_positives import adjacent_positives


def triple(n, p, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, n, p, generator=generator, dtype=torch.float64).unbind()


def by_loops(before, day, after, temperature):
    """Equation 2.7, where k and l run over the other rows of the batch."""

    def similarity(a, b):
        return math.exp(float(a @ b / (a.norm() * b.norm())) / temperature)

    rows, total = range(len(day)), 0.0
    for n in rows:
        positives = similarity(day[n], before[n]) + similarity(day[n], after[n])
        negatives = sum(similarity(day[n], after[k]) for k in rows if k != n)
        negatives += sum(similarity(before[n], day[m]) for m in rows if m != n)
        total -= math.log(positives / negatives)
    return total / len(day)


@pytest.mark.parametrize("n", [2, 3, 9])
@pytest.mark.parametrize("temperature", [0.1, 0.3, 2.0])
def test_it_equals_the_equation(n, temperature):
    parts = triple(n, 5)
    loss = adjacent_positives(*parts, temperature)
    assert float(loss) == pytest.approx(by_loops(*parts, temperature))


def test_by_hand():
    same = torch.ones(5, 3)
    assert float(adjacent_positives(same, 2 * same, 3 * same, 0.3)) == pytest.approx(math.log(4))
    parted = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    # positives at similarity 1, negatives at -1, as many of each
    assert float(adjacent_positives(parted, parted, parted, 1.0)) == pytest.approx(-2)


def test_its_gradient():
    parts = tuple(z.requires_grad_() for z in triple(4, 3))
    assert torch.autograd.gradcheck(lambda *z: adjacent_positives(*z, 0.3), parts)
