import pytest
import torch
from torch.testing import assert_close

from sparta_ray.models.dropout import RowDropout, draw_dropped

KEY = torch.tensor(2**40 + 7)


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5, 0.9])
def test_it_drops_its_share_and_keeps_the_mean(rate):
    dropout = RowDropout(rate).train()
    y = dropout(torch.ones(20, 31, 7, 9))
    assert (y == 0).float().mean() == pytest.approx(rate, abs=0.01)
    assert_close(y[y > 0], torch.full_like(y[y > 0], 1 / (1 - rate)))


@pytest.mark.parametrize("shape", [(1,), (4,), (3, 5), (6, 7, 3)])
def test_a_part_of_the_rows_is_drawn_as_in_the_whole(shape):
    x = torch.zeros(11, *shape)
    whole = draw_dropped(KEY, 0, x, 0.5)
    assert whole.shape == x.shape
    for start, stop in ((0, 4), (4, 5), (5, 11)):
        assert torch.equal(draw_dropped(KEY, start, x[start:stop], 0.5), whole[start:stop])


def test_rows_keys_and_values_draw_independently():
    draws = [draw_dropped(KEY + key, 0, torch.zeros(60, 4001), 0.25) for key in range(2)]
    x = torch.cat(draws).double() - 0.25  # 120 draws of a variance of 3/16
    correlation = x @ x.T / (4001 * 3 / 16)
    assert_close(correlation.diag(), torch.ones(120).double(), rtol=0, atol=0.08)
    assert correlation.fill_diagonal_(0).abs().max() < 5 / 4001**0.5
    along = x.flatten()
    for lag in (1, 2, 3, 4, 8, 4001):
        assert abs(float((along[lag:] * along[:-lag]).mean())) * 16 / 3 < 4 / len(along) ** 0.5


def by_hand(key, row, values):
    """SplitMix64 with Python's whole numbers: 16-bit words of one row, least significant first."""
    golden, mask = 0x9E3779B97F4A7C15, 2**64 - 1

    def mix(z):
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        return z ^ (z >> 31)

    row_key = mix(row * golden + key & mask)
    hashes = [mix(row_key + n * golden & mask) for n in range(-(-values // 4))]
    return [h >> 16 * part & 0xFFFF for h in hashes for part in range(4)][:values]


def test_the_draw_is_fixed_for_ever():
    drawn = draw_dropped(KEY, 3, torch.zeros(2, 13), 0.25)
    for row in range(2):
        words = by_hand(int(KEY), 3 + row, 13)
        signed = [word - 2**16 if word >= 2**15 else word for word in words]
        assert drawn[row].tolist() == [word < 2**14 - 2**15 for word in signed]


def test_every_call_draws_anew_and_the_seed_repeats_it():
    dropout, x = RowDropout(0.3).train(), torch.ones(4, 9)
    torch.manual_seed(3)
    first, second = dropout(x), dropout(x)
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    assert torch.equal(dropout(x), first)


def test_it_does_nothing_in_eval_mode_or_at_rate_zero():
    x = torch.randn(4, 9)
    assert RowDropout(0.3).eval()(x) is x
    torch.manual_seed(3)
    assert RowDropout(0.0).train()(x) is x
    assert torch.equal(torch.rand(1), torch.rand(1, generator=torch.manual_seed(3)))


def test_the_gradient_passes_where_values_do():
    x = torch.randn(5, 8, dtype=torch.float64, requires_grad=True)
    y = RowDropout(0.5).train()(x)
    y.sum().backward()
    assert_close(x.grad, torch.where(y == 0, 0.0, 2.0).double())


def test_half_precision_stays():
    assert RowDropout(0.5).train()(torch.ones(3, 4).bfloat16()).dtype == torch.bfloat16
