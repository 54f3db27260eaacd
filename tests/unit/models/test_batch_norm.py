import pytest
import torch
from torch import nn

from sparta_ray.models.batch_norm import GlobalBatchNorm1d, GlobalBatchNorm2d


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize(
    ("ours", "theirs", "shape"),
    [(GlobalBatchNorm1d, nn.BatchNorm1d, ()), (GlobalBatchNorm2d, nn.BatchNorm2d, (5, 3))],
)
def test_in_one_process_it_is_torchs_own_to_the_bit(ours, theirs, shape, tracked):
    one, two = ours(4, track_running_stats=tracked), theirs(4, track_running_stats=tracked)
    assert one.state_dict().keys() == two.state_dict().keys()
    x = 3 + torch.randn(7, 4, *shape)
    for mode in (True, False):
        assert torch.equal(one.train(mode)(x), two.train(mode)(x))
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name])
