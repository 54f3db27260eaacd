"""The guide to one's own metric and figure, followed to the letter in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guides/your-own-metric.md").read_text()

FILES = {
    "sparta_ray/metrics/fields.py": "diff",
    "sparta_ray/figures/error_bars.py": "python",
    "sparta_ray/report/run_figures.py": "diff",
}

INNER_TEST = """
import numpy as np
import pytest

from sparta_ray.base.folder import RunFolder
from sparta_ray.evaluation.reconstruction import evaluate_reconstruction
from sparta_ray.evaluation.results import load_results, save_results
from sparta_ray.report.html import ReportContext, write_report
from sparta_ray.report.run_figures import page_figures


def test_the_metric_is_scored_and_shown(setup, tmp_path, offsets):
    run, folder = setup.run, RunFolder(setup.run.path)
    save_results(folder, run.evaluation, evaluate_reconstruction(setup))
    results = load_results(folder)
    scores = {
        (score.model, score.variable): score for score in results.scores if score.metric == "mae"
    }
    assert len(scores) == 4 * len(offsets)  # two models, climatology and the mean field
    for label in offsets:  # the mean of days 0 to 364, less that of days 460 to 499
        score = scores["mean field", label]
        assert score.value == pytest.approx(479.5 - 182, rel=1e-4)
        (sums,) = [found for found in results.windows if found.score == score]
        assert float(sums.result(sums.sums[:, 0])) == pytest.approx(460 - 182, rel=1e-4)
    assert scores["sparta", "geopotential@850"].units == "m2 s-2"
    page = write_report(
        tmp_path,
        ReportContext(
            title="own", summary=[], run={}, shortened=[], notes=[], simulated=True,
            scores=results.scores, tabled=results.scores,
            figures=list(page_figures(run, folder, results)),
        ),
    )
    text = page.read_text()
    assert "MAE of each variable" in text
    assert "MAE: Area-weighted mean of the absolute error." in text
    assert "Absolute error of each variable" in text
    assert 'alt="Bars of the mean absolute error of each model and variable."' in text
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
        [sys.executable, "-m", *command], cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_guide_names_at_most_three_files() -> None:
    assert len(FILES) <= 3
    assert set(re.findall(r"^\+\+\+ b/(\S+)$", GUIDE, re.MULTILINE)) <= FILES.keys()


@pytest.mark.timeout(300)
def test_the_guide_leads_to_a_metric_and_a_figure_of_ones_own(tmp_path: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "sparta_ray", tmp_path / "sparta_ray", ignore=ignore)
    (tmp_path / "tests/unit").mkdir(parents=True)
    for name in ("pyproject.toml", "tests/published.py", "tests/unit/conftest.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name, language in FILES.items():
        file, block = tmp_path / name, block_after(name, language)
        file.write_text(block if language == "python" else patched(file.read_text(), block))
    (tmp_path / "tests/unit/test_own_metric.py").write_text(INNER_TEST)

    run(tmp_path, "ruff", "check", "sparta_ray")
    run(tmp_path, "ruff", "format", "--check", "sparta_ray")
    run(tmp_path, "pytest", "-n", "0", "-p", "no:cacheprovider", "tests/unit/test_own_metric.py")
