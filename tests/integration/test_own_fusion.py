"""The guide to one's own fusion, followed to the letter in a copy of the project."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guides/your-own-fusion.md").read_text()

PROGRAM = """
import torch
from sparta_ray.base.config import from_tree, load, to_tree
from sparta_ray.run.settings import Run
from sparta_ray.training.stages import build_model

run = load(Run, "conf/gated.yaml")
assert from_tree(Run, to_tree(run), "a model's card") == run
model = build_model("sparta", run.data.variables, (64, 32), run.model)
assert type(model.encoder.fusion).__name__ == "GatedFusion"
x = torch.randn(4, 5, *run.views.crop)
h, z = model.project(x)
(h.square().sum() + z.square().sum()).backward()
for part in (model.encoder, model.projector):
    assert all(parameter.grad is not None for parameter in part.parameters())
"""


def block_after(name: str) -> str:
    """Return the guide's code block that follows the mention of a file."""
    found = re.search(rf"`{re.escape(name)}`[^`]*```\w+\n(.*?)```", GUIDE, re.DOTALL)
    assert found, name
    return found.group(1)


def patched(text: str, diff: str) -> str:
    """Apply a diff whose hunks stand between lines of @@."""
    for hunk in diff.split("@@\n")[1:]:
        lines = hunk.splitlines(keepends=True)
        old, new = ("".join(x[1:] for x in lines if x[0] in kept) for kept in (" -", " +"))
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env={"PYTHONPATH": str(folder)},
        capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_guide_leads_to_a_fusion_of_ones_own(tmp_path: Path) -> None:
    for part in ("sparta_ray", "jobs", "conf"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("sparta_ray/models/gated_fusion.py", "conf/gated.yaml"):
        (tmp_path / name).write_text(block_after(name))
    kinds = tmp_path / "sparta_ray/models/fusion.py"
    kinds.write_text(patched(kinds.read_text(), block_after("sparta_ray/models/fusion.py")))

    command = re.search(r"^python (.* --dry-run)$", GUIDE, re.MULTILINE)
    assert command
    plan = run(tmp_path, *command.group(1).split())
    assert "    kind: gated\n    hidden: 8\n" in plan
    assert "stage pretrain:" in plan
    run(tmp_path, "-c", PROGRAM)
