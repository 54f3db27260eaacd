import pytest
import torch
from torch.testing import assert_close

from sparta_ray.models.projection import ProjectionHead


@pytest.fixture
def head():
    torch.manual_seed(0)
    return ProjectionHead(embedding=7, projection=5)


def by_hand(head, h):
    """Three linear maps; after the first two, the batch's own norm and ReLU."""
    for index in (0, 3):
        x = head.layers[index](h)
        mean, variance = x.mean(dim=0), x.var(dim=0, correction=0)
        h = torch.relu((x - mean) / (variance + 1e-5).sqrt())
    return head.layers[6](h)


def test_it_uses_the_batchs_own_statistics_in_eval_mode_too(head):
    h = 3 + 2 * torch.randn(6, 7)
    expected = by_hand(head, h)
    assert_close(head.train()(h), expected)
    assert_close(head.eval()(h), expected)


def test_a_row_depends_on_its_batch(head):
    h = torch.randn(6, 7)
    assert not torch.allclose(head.eval()(h)[:3], head(h[:3]))


def test_it_keeps_no_running_statistics(head):
    assert list(head.named_buffers()) == []
    before = {name: value.clone() for name, value in head.state_dict().items()}
    head.train()(torch.randn(6, 7))
    for name, value in head.state_dict().items():
        assert_close(value, before[name], rtol=0, atol=0)
