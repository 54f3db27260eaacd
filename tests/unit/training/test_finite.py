"""What is not finite is noted without a look, and changes no weight."""

import pytest
import torch
from torch.optim import Adam

from sparta_ray.training.finite import FiniteWatch, NonFiniteError, unchanged_unless

CPU = torch.device("cpu")
ONE, NAN, INF = torch.tensor(1.0), torch.tensor(float("nan")), torch.tensor(float("inf"))


def test_all_finite_is_clean():
    watch = FiniteWatch(CPU)
    assert watch.note(0, ONE, ONE)
    assert watch.note(1, ONE, None)
    watch.check()
    assert not watch.failed


@pytest.mark.parametrize(
    ("loss", "norm", "message"),
    [
        (NAN, ONE, "the loss is nan at step 3"),
        (INF, INF, "the loss is inf at step 3"),
        (ONE, INF, "the gradient norm is inf at step 3"),
        (-INF, None, "the loss is -inf at step 3"),
    ],
)
def test_the_first_that_is_not_is_remembered_through_all_that_follow(loss, norm, message):
    watch = FiniteWatch(CPU)
    assert watch.note(2, ONE, ONE)
    assert not watch.note(3, loss, norm)
    assert not watch.note(4, ONE, ONE)
    assert not watch.note(5, INF, NAN)
    assert not watch.failed  # nobody has looked
    assert not watch.is_clean()
    assert watch.failed
    with pytest.raises(NonFiniteError, match=f"^{message}$") as caught:
        watch.check()
    assert caught.value.position == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_change_where_all_is_finite_as_without_the_guard_and_else_not_at_all(dtype):
    torch.manual_seed(0)
    plain, guarded = (torch.nn.Linear(3, 2, dtype=dtype) for _ in range(2))
    guarded.load_state_dict(plain.state_dict())
    optimisers = [Adam(each.parameters(), lr=0.1) for each in (plain, guarded)]
    for step in range(3):
        for each in (plain, guarded):
            each.zero_grad()
            each(torch.full((4, 3), step + 1.0, dtype=dtype)).square().sum().backward()
        optimisers[0].step()
        with unchanged_unless(torch.tensor(True), optimisers[1]):
            optimisers[1].step()
    for one, two in zip(plain.parameters(), guarded.parameters(), strict=True):
        assert torch.equal(one, two)
    guarded.weight.grad.fill_(float("nan"))
    guarded.bias.grad = None
    with unchanged_unless(torch.tensor(False), optimisers[1]):
        optimisers[1].step()
    for one, two in zip(plain.parameters(), guarded.parameters(), strict=True):
        assert torch.equal(one, two)
