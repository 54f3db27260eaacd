"""Guides to one's own parts, followed to the letter in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TRAIN = ROOT / "tests/integration/train_a_stage.py"


@dataclass(frozen=True)
class Guide:
    """A guide, and the copy of the project in which it is followed."""

    text: str
    copy: Path

    @classmethod
    def follow(cls, name: str, folder: Path, new: list[str], changed: str) -> "Guide":
        """Copy the project, write the new files of a guide and apply its diff to another file."""
        for part in ("sparta_ray", "jobs", "conf"):
            shutil.copytree(
                ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__")
            )
        guide = cls((ROOT / "docs/guides" / name).read_text(), folder)
        for file in new:
            (folder / file).write_text(guide.block_after(file))
        target = folder / changed
        target.write_text(patched(target.read_text(), guide.block_after(changed)))
        return guide

    def block_after(self, name: str) -> str:
        """Return the code block that follows the mention of a file."""
        found = re.search(rf"`{re.escape(name)}`[^`]*```\w+\n(.*?)```", self.text, re.DOTALL)
        assert found, name
        return found.group(1)

    def dry_run(self, *arguments: str, returns: int = 0) -> str:
        """Run the guide's dry run, and return what it prints."""
        command = re.search(r"^python (.* --dry-run)$", self.text, re.MULTILINE)
        assert command
        return self.run(*command.group(1).split(), *arguments, returns=returns)

    def run(self, *command: str, returns: int = 0) -> str:
        """Run Python on the copy; return what it prints."""
        done = subprocess.run(
            [sys.executable, *command], cwd=self.copy, env=os.environ | {"PYTHONPATH": "."},
            capture_output=True, text=True, timeout=110,
        )  # fmt: skip
        assert done.returncode == returns, done.stderr
        return done.stdout + done.stderr

    def train(self, config: str, store: str) -> Path:
        """Train a stage on a store of the tests, in float64; return the folder of its records."""
        folder = self.copy / "trained"
        self.run(str(TRAIN), config, store, str(folder))
        return folder


def patched(text: str, diff: str) -> str:
    """Apply a diff whose hunks stand between lines of @@."""
    for hunk in diff.split("@@\n")[1:]:
        lines = hunk.splitlines(keepends=True)
        old, new = ("".join(x[1:] for x in lines if x[0] in kept) for kept in (" -", " +"))
        if old:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
    return text
