import torch
import torch.distributed as dist
from torch import nn
from torch.testing import assert_close

from sparta_ray.losses.contrastive import nt_xent
from sparta_ray.training.distributed import average_over_ranks, gather_rows

ROWS = {2: (4, 1), 3: (2, 4, 1)}  # ragged, and a rank with a single row


def loss_of(head, x_a, x_b):
    return nt_xent(gather_rows(head(x_a)), gather_rows(head(x_b)), 0.3)


def case(ranks):
    """Return a head and two views of all ranks' rows, the same in every process."""
    generator = torch.Generator().manual_seed(ranks)
    x_a, x_b = torch.randn(2, sum(ROWS[ranks]), 5, generator=generator, dtype=torch.float64)
    head = nn.Linear(5, 3, dtype=torch.float64)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return head, x_a.requires_grad_(), x_b.requires_grad_()


def check_rank(rank, rendezvous):
    """Compare one rank's share with the same computed in one process; runs in a process."""
    torch.set_num_threads(1)
    for ranks in (3, 2):
        if rank >= ranks:
            return
        head, x_a, x_b = case(ranks)
        expected = loss_of(head, x_a, x_b)  # no process group: of all rows
        expected.backward()
        gradients = [parameter.grad.clone() for parameter in head.parameters()]
        rows = slice(sum(ROWS[ranks][:rank]), sum(ROWS[ranks][: rank + 1]))

        dist.init_process_group(
            "gloo", init_method=f"file://{rendezvous}-{ranks}", rank=rank, world_size=ranks
        )
        mine_a, mine_b = (x.detach()[rows].clone().requires_grad_() for x in (x_a, x_b))
        assert_close(gather_rows(mine_a), x_a, rtol=0, atol=0)
        head.zero_grad()
        loss = loss_of(head, mine_a, mine_b)
        loss.backward()
        assert_close(loss, expected)
        assert_close(mine_a.grad / ranks, x_a.grad[rows])
        assert_close(mine_b.grad / ranks, x_b.grad[rows])
        for parameter, gradient in zip(head.parameters(), gradients, strict=True):
            dist.all_reduce(parameter.grad)  # what DDP does, which then takes the mean
            assert_close(parameter.grad / ranks, gradient)
        fields = torch.full((rows.stop - rows.start, 2, 3), float(rank))
        assert gather_rows(fields).shape == (sum(ROWS[ranks]), 2, 3)
        means = average_over_ranks({"b": float(rank), "a": 10.0})
        assert means == {"a": 10.0, "b": (ranks - 1) / 2}
        dist.destroy_process_group()


def test_gathered_rows_give_the_loss_and_gradients_of_one_process(tmp_path):
    torch.multiprocessing.spawn(check_rank, (str(tmp_path / "rendezvous"),), nprocs=3)


def test_without_a_process_group_nothing_is_gathered():
    x = torch.randn(3, 2)
    assert gather_rows(x) is x
    assert average_over_ranks({"loss": 0.1}) == {"loss": 0.1}
