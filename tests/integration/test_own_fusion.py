"""The guide to one's own fusion, followed to the letter in a copy of the project."""

from pathlib import Path

import pytest

from tests.guide import Guide


@pytest.mark.timeout(400)  # several processes that import torch
def test_the_guide_leads_to_a_fusion_of_ones_own(tmp_path: Path, make_store) -> None:
    guide = Guide.follow(
        "your-own-fusion.md",
        tmp_path,
        new=["sparta_ray/models/gated_fusion.py", "conf/gated.yaml"],
        changed="sparta_ray/models/fusion.py",
    )
    plan = guide.dry_run()
    assert "    kind: gated\n    hidden: 8\n" in plan
    assert "stage pretrain:" in plan
    store = make_store(days=46, grid=(64, 32), training_days=26)
    card = (guide.train("conf/gated.yaml", store) / "model.json").read_text()
    assert '"kind": "gated"' in card
