import pytest
import torch

from sparta_ray.downstream.forecast.ridge import BlockedRidge

ROWS, P, K = 37, 4, 3
BLOCKS = torch.arange(ROWS) * 3 // ROWS


def data(noise):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(ROWS, P, generator=generator, dtype=torch.float64)
    truth = torch.randn(P, K, generator=generator, dtype=torch.float64)
    y = x @ truth + noise * torch.randn(ROWS, K, generator=generator, dtype=torch.float64)
    return x, truth, y


def ridge_by_hand(x, y, penalty):
    gram = x.T @ x
    scale = penalty * gram.trace() / P
    return torch.linalg.solve(gram + scale * torch.eye(P, dtype=x.dtype), x.T @ y)


def left_out_error(x, y, penalty):
    errors = []
    for block in range(3):
        here = block == BLOCKS
        weights = ridge_by_hand(x[~here], y[~here], penalty)
        errors.append((x[here] @ weights - y[here]).square().sum())
    return float(torch.stack(errors).sum()) / y.numel()


@pytest.mark.parametrize("noise", [0.0, 0.5, 5.0])
def test_the_penalty_with_the_least_error_on_left_out_blocks_is_used(noise):
    penalties = (1e-6, 1e-2, 0.1, 1.0, 10.0)
    x, _, y = data(noise)
    weights, error = BlockedRidge(x, BLOCKS, penalties).solve(y)
    errors = {penalty: left_out_error(x, y, penalty) for penalty in penalties}
    best = min(errors, key=errors.__getitem__)
    assert error == pytest.approx(errors[best], rel=1e-9, abs=1e-9)
    torch.testing.assert_close(weights, ridge_by_hand(x, y, best))
    if noise == 0:
        assert best == 1e-6
    if noise == 5:
        assert best >= 0.1


def test_targets_that_nothing_tells_of_get_next_to_no_weight():
    x, _, _ = data(0)
    y = torch.randn(ROWS, K, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    weights, error = BlockedRidge(x, BLOCKS, (1e-3, 1e4)).solve(y)
    assert (x @ weights).abs().max() < 1e-2
    assert error == pytest.approx(float(y.square().mean()), rel=1e-2)


def test_fewer_rows_than_predictors_are_no_obstacle():
    x, _, y = data(1.0)
    blocks = torch.tensor([0, 1, 1])
    weights, error = BlockedRidge(x[:3], blocks, (0.1, 1.0)).solve(y[:3])
    assert weights.isfinite().all()
    assert 0 < error < float("inf")
