"""What only GPUs can show: NCCL ranks compute what one process on the CPU does."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
from test_exactness import FUSIONS, MODEL, STAGES, VARIANTS, V, module_of, views_of
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close

from sparta_ray.data.batches.expand import Fields, Views
from sparta_ray.models.dropout import draw_dropped
from sparta_ray.training.prefetch import Prefetcher

ROWS = 8
KINDS = [*STAGES, *VARIANTS, *FUSIONS]
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
pytestmark = [pytest.mark.gpu, pytest.mark.timeout(240), NEEDS_GPU]


def on_device(views, device):
    def move(x):
        return x if x is None else x.to(device)

    f = views.fields
    fields = Fields(move(f.day), move(f.after), move(f.before), f.gaps)
    parts = (views.anchor, views.after, views.before, views.input, views.step, views.season)
    return Views(*map(move, parts[:4]), fields, *map(move, parts[4:]))


def step(kind, device, distributed):
    """Return the loss and the gradient of a stage's step in float64."""
    module = module_of(kind, torch.float64).to(device)
    forward = module
    if distributed:
        forward = DistributedDataParallel(module, device_ids=[device], broadcast_buffers=False)
    torch.manual_seed(7)
    views = views_of(ROWS, (VARIANTS | FUSIONS).get(kind, (MODEL,))[0].channels(V))
    loss = forward.train()(on_device(views, device), 2, ROWS)["loss"]
    loss.backward()
    gradients = [p.grad.flatten() for p in module.parameters() if p.grad is not None]
    return loss.detach().cpu(), torch.cat(gradients).cpu()


def run_rank(rank, ranks, folder):
    device = torch.device("cuda", rank)
    torch.cuda.set_device(device)
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("nccl", init_method=meeting, rank=rank, world_size=ranks)
    torch.save({kind: step(kind, device, True) for kind in KINDS}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_nccl_ranks_give_the_loss_and_gradient_of_one_process(tmp_path):
    ranks = min(torch.cuda.device_count(), 3)
    torch.multiprocessing.spawn(run_rank, (ranks, str(tmp_path)), nprocs=ranks)
    for kind in KINDS:
        loss, gradient = step(kind, torch.device("cpu"), False)
        for rank in range(ranks):
            their_loss, their_gradient = torch.load(tmp_path / f"{rank}.pt")[kind]
            assert_close(their_loss, loss, rtol=1e-6, atol=0)
            assert (their_gradient - gradient).norm() < 1e-5 * gradient.norm()


def test_batches_come_ahead_from_pinned_memory_in_order_and_unchanged():
    rng = np.random.default_rng(0)
    batches = [
        {"position": np.full(4, n), "global_rows": np.full(4, 4), "day": rng.random((4, 3, 5, 2))}
        for n in range(6)
    ]
    device = torch.device("cuda")
    for n, (batch, arrive) in enumerate(Prefetcher(iter(batches), device, torch.float32)):
        assert batch is batches[n]
        assert_close(arrive()["day"].cpu(), torch.from_numpy(batch["day"]))
    assert n == 5


def test_dropout_draws_the_same_on_every_device():
    key, x = torch.tensor(2**50 + 1), torch.zeros(5, 7, 9)
    drawn = draw_dropped(key, 3, x.cuda(), 0.3)
    assert torch.equal(drawn.cpu(), draw_dropped(key, 3, x, 0.3))
