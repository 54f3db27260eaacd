"""The guide to one's own encoder, followed to the letter in a copy of the project."""

import json
from pathlib import Path

import pytest

from tests.guide import Guide


@pytest.mark.timeout(400)  # several processes that import torch
def test_the_guide_leads_to_an_encoder_of_ones_own(tmp_path: Path, make_store) -> None:
    guide = Guide.follow(
        "your-own-encoder.md",
        tmp_path,
        new=["sparta_ray/models/convnet.py", "conf/convnet.yaml"],
        changed="sparta_ray/models/encoder.py",
    )
    plan = guide.dry_run()
    assert "    kind: convnet\n    depth: 2\n" in plan
    assert "stage pretrain:" in plan
    refusal = guide.dry_run("--set", "model.encoder.depth=5", returns=2)
    assert "views.crop (36, 20) must be at least 32 on both sides to be halved" in refusal

    store = make_store(days=46, grid=(64, 32), training_days=26)
    card = json.loads((guide.train("conf/convnet.yaml", store) / "model.json").read_text())
    assert card["config"]["encoder"] == {"kind": "convnet", "depth": 2}
