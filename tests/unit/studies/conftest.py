"""Study files in a folder of their own, on the smoke run."""

from pathlib import Path

import pytest
import yaml

SMOKE = Path(__file__).parents[3] / "conf" / "smoke.yaml"


@pytest.fixture
def write_study(tmp_path):
    """Return a function that writes a study file and returns its path."""

    def write(**content):
        tree = {"name": "compared", "folder": str(tmp_path / "runs"), "base": str(SMOKE)} | content
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(tree, sort_keys=False))
        return str(path)

    return write
