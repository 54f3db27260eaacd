import pytest
import torch

from sparta_ray.losses.reconstruction import reconstruction


def test_by_hand():
    truth = torch.zeros(2, 3, 4, 5)
    decoded = torch.zeros(2, 3, 4, 5)
    decoded[:, 0] = 1.0  # mean squared error 1
    decoded[0, 2] = 2.0  # 4 in one row of two: 2
    assert float(reconstruction(decoded, truth)) == 3


def test_it_equals_a_loop():
    decoded, truth = torch.randn(2, 2, 3, 4, 5, dtype=torch.float64)
    total = 0.0
    for variable in range(3):
        errors = (decoded[:, variable] - truth[:, variable]).flatten().tolist()
        total += sum(error**2 for error in errors) / len(errors)
    assert float(reconstruction(decoded, truth)) == pytest.approx(total)


def test_half_precision_is_computed_in_float32():
    decoded, truth = torch.randn(2, 2, 3, 4, 5)
    loss = reconstruction(decoded.bfloat16(), truth)
    assert loss.dtype == torch.float32
    assert loss == reconstruction(decoded.bfloat16().float(), truth)


def test_its_gradient():
    decoded, truth = (
        torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True) for _ in range(2)
    )
    assert torch.autograd.gradcheck(reconstruction, (decoded, truth))
