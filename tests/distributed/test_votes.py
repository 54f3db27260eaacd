"""Ranks agree on what any of them says; one rank alone asks nobody."""

import pytest
import torch
import torch.distributed as dist

from sparta_ray.on_ray.votes import Votes


def vote(rank, ranks, folder):
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=ranks
    )
    votes = Votes()
    rounds = [votes.any_of(rank == 1, False, step == 2) for step in range(3)]
    torch.save(rounds, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.timeout(120)
def test_every_rank_learns_what_any_says(tmp_path):
    torch.multiprocessing.spawn(vote, (2, str(tmp_path)), nprocs=2)
    expected = [(True, False, False)] * 2 + [(True, False, True)]
    for rank in range(2):
        assert torch.load(tmp_path / f"{rank}.pt") == expected


def test_one_rank_s_vote_is_its_own():
    assert Votes().any_of(True, False) == (True, False)
