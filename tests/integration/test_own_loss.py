"""The guide to one's own contrastive loss, followed to the letter in a copy of the project."""

import json
import math
from pathlib import Path

import pytest

from tests.guide import Guide

BY_HAND = """
import torch
from sparta_ray.losses.align_uniform import align_uniform
rows = torch.eye(5, dtype=torch.float64)
assert abs(align_uniform(rows, 3 * rows, 0.5) + 2) < 1e-12
"""


@pytest.mark.timeout(400)  # several processes that import torch
def test_the_guide_leads_to_a_loss_of_ones_own(tmp_path: Path, make_store) -> None:
    guide = Guide.follow(
        "your-own-loss.md",
        tmp_path,
        new=["sparta_ray/losses/align_uniform.py", "conf/align_uniform.yaml"],
        changed="sparta_ray/losses/kinds.py",
    )
    plan = guide.dry_run()
    assert "      kind: align_uniform\n      uniformity_weight: 0.5\n" in plan
    assert "stage pretrain:" in plan
    guide.run("-c", BY_HAND)

    store = make_store(days=46, grid=(64, 32), training_days=26)
    folder = guide.train("conf/align_uniform.yaml", store)
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = [record for record in records if record["event"] == "step"]
    epochs = [record for record in records if record["event"] == "epoch"]
    assert len(steps) == 30
    for step in steps:
        assert math.isclose(step["loss"], step["align_uniform"] + step["cycle"], rel_tol=1e-12)
    assert epochs[-1]["train_align_uniform"] < epochs[0]["train_align_uniform"]
    assert "nt_xent" not in steps[0]
