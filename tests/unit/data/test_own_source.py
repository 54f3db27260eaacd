"""The guide to one's own kind of source, followed to the letter in a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs/guides/your-own-data.md").read_text()

FILES = {
    "sparta_ray/data/sources/npz.py": "python",
    "sparta_ray/data/sources/config.py": "diff",
    "conf/npz.yaml": "yaml",
}

PROGRAM = """
import os
import numpy as np
import pytest
from dataclasses import replace
from sparta_ray.base.config import from_tree, load, to_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.data.preparation.recipe import check_source, read_recipe
from sparta_ray.data.preparation.shards import finish, lay_out, write_shard
from sparta_ray.data.preparation.streaming import open_store
from sparta_ray.run.settings import Run, with_absolute_paths

run = with_absolute_paths(load(Run, "conf/npz.yaml"))
assert run.data.source.folder == os.path.abspath("days")
assert from_tree(Run, to_tree(run), "a run folder") == run
run.data.source.check_reach()
recipe = read_recipe(run.data)
lay_out(recipe)
finish(recipe, {n: write_shard(recipe, n) for n in range(recipe.layout.shards)})

store = open_store(run.data.store)
assert [str(day) for day in store.days[[0, -1]]] == ["1979-01-30", "1979-02-04"]
assert store.variables == ("2m_temperature",)
for day, field in enumerate(store.read(np.arange(6))):
    np.testing.assert_array_equal(field[0], np.load(f"expected/{day}.npy"))

check_source(recipe.layout.provenance, read_recipe(run.data))
np.savez("days/1979-02-01.npz", **np.load("days/1979-02-01.npz"), more=1)
with pytest.raises(ConfigError, match="the source has changed"):
    check_source(recipe.layout.provenance, read_recipe(run.data))
with pytest.raises(ConfigError, match="data.source.folder .* has no .npz file"):
    read_recipe(replace(run.data, source=replace(run.data.source, folder="none")))
"""


def block_after(name: str, language: str) -> str:
    """Return the guide's code block that follows the mention of a file."""
    found = re.search(rf"`{re.escape(name)}`[^`]*```{language}\n(.*?)```", GUIDE, re.DOTALL)
    assert found, name
    return found.group(1)


def patched(text: str, diff: str) -> str:
    """Apply a diff whose hunks stand between lines of @@."""
    for hunk in diff.split("@@\n")[1:]:
        lines = hunk.splitlines(keepends=True)
        old, new = ("".join(x[1:] or x for x in lines if x[0] in kept) for kept in (" -", " +"))
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def run(folder: Path, *command: str) -> None:
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(180)
def test_the_guide_leads_to_a_source_of_ones_own(tmp_path: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "sparta_ray", tmp_path / "sparta_ray", ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name in ("conf", "days", "expected"):
        (tmp_path / name).mkdir()
    for name, language in FILES.items():
        file, block = tmp_path / name, block_after(name, language)
        file.write_text(patched(file.read_text(), block) if language == "diff" else block)
    rng = np.random.default_rng(0)
    for day in range(6):
        field = rng.uniform(250, 300, (4, 5)).astype(np.float32)  # southward in the files
        np.save(tmp_path / f"expected/{day}.npy", field[:, ::-1])
        grid = {"longitude": np.arange(4) * 90.0, "latitude": np.arange(72.0, -73, -36)}
        name = str(np.datetime64("1979-01-30") + day)
        np.savez(tmp_path / f"days/{name}.npz", t2m=field, **grid)

    run(tmp_path, "-m", "ruff", "check", "sparta_ray")
    run(tmp_path, "-m", "ruff", "format", "--check", "sparta_ray")
    run(tmp_path, "-c", PROGRAM)
