import math

import numpy as np
import pytest
import torch

from sparta_ray.base.grids import area_weights
from sparta_ray.losses.reconstruction import reconstruction, squared_error


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


@pytest.fixture
def gappy():
    """Decoded fields, and a truth that misses a third, all of one variable, and one whole row."""
    generator = torch.Generator().manual_seed(0)
    decoded, truth = torch.randn(2, 4, 3, 5, 2, generator=generator, dtype=torch.float64)
    truth[torch.rand(truth.shape, generator=generator) < 0.3] = torch.nan
    truth[:, 1] = torch.nan
    truth[2] = torch.nan
    return decoded.requires_grad_(), truth


def test_missing_values_by_hand():
    truth = torch.zeros(1, 1, 3, 1)
    truth[0, 0, 1] = torch.nan
    decoded = torch.tensor([1.0, 100.0, 3.0]).view(1, 1, 3, 1)
    assert float(reconstruction(decoded, truth, gaps=True)) == 5


def test_means_are_over_present_values_and_a_missing_variable_adds_nothing(gappy):
    decoded, truth = gappy
    total = 0.0
    for variable in range(3):
        pairs = zip(decoded[:, variable].flatten(), truth[:, variable].flatten(), strict=True)
        errors = [float((d - t).detach()) ** 2 for d, t in pairs if not t.isnan()]
        total += sum(errors) / max(len(errors), 1)
    loss = reconstruction(decoded, truth, gaps=True)
    assert loss.item() == pytest.approx(total)
    loss.backward()
    assert torch.equal(decoded.grad != 0, ~truth.isnan())
    assert decoded.grad.isfinite().all()


def test_nothing_missing_changes_no_bit():
    decoded, truth = torch.randn(2, 126, 5, 13, 7)
    published = (decoded - truth).square().mean(dim=(0, 2, 3)).sum()
    assert reconstruction(decoded, truth) == published
    assert reconstruction(decoded, truth, gaps=True) == published


def test_area_weights_by_hand():
    truth, decoded = torch.zeros(1, 1, 1, 3), torch.tensor([1.0, 100.0, 3.0]).view(1, 1, 1, 3)
    truth[..., 1] = torch.nan
    area = torch.tensor([3.0, 7.0, 1.0])
    assert float(reconstruction(decoded, truth, gaps=True, area_Y=area)) == (3 * 1 + 1 * 9) / 4
    truth[..., 1] = 98.0
    expected = (3 * 1 + 7 * 4 + 1 * 9) / 11
    assert float(reconstruction(decoded, truth, area_Y=area)) == pytest.approx(expected)
    assert float(reconstruction(decoded, truth, area_Y=0.01 * area)) == pytest.approx(expected)


def test_area_weights_equal_a_loop_over_present_values(gappy):
    decoded, truth = gappy
    area, total = area_weights(np.array([-75.0, -20.0])), 0.0
    for variable in (0, 2):  # 1 is missing altogether
        weighted = weights = 0.0
        for row, x, y in np.ndindex(decoded[:, 0].shape):
            error = float((decoded[row, variable, x, y] - truth[row, variable, x, y]).detach())
            if not math.isnan(error):
                weighted, weights = weighted + area[y] * error**2, weights + area[y]
        total += weighted / weights
    loss = reconstruction(decoded, truth, gaps=True, area_Y=torch.from_numpy(area))
    assert loss.item() == pytest.approx(total)
    loss.backward()
    assert decoded.grad.isfinite().all()


def test_equal_areas_are_no_weights(gappy):
    decoded, truth = gappy
    same = torch.ones(2, dtype=torch.float64)
    assert reconstruction(decoded, truth, gaps=True, area_Y=same).item() == pytest.approx(
        reconstruction(decoded, truth, gaps=True).item()
    )


def test_parts_of_a_batch_add_up_to_the_whole(gappy):
    decoded, truth = gappy
    sum_V, count_V = squared_error(decoded, truth, gaps=True)
    parts = [squared_error(decoded[rows], truth[rows], gaps=True) for rows in ([0], [1, 2], [3])]
    torch.testing.assert_close(sum(part[0] for part in parts), sum_V)
    assert torch.equal(sum(part[1] for part in parts), count_V)
    assert count_V[1] == 0
    assert squared_error(decoded, truth.nan_to_num())[1].tolist() == [40, 40, 40]
