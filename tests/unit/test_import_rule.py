"""Who may import whom. Change the tables first, and say why in docs/decisions/."""

import ast
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

import sparta_ray

ROOMS = {
    "data": {"data"},
    "models": {"models"},
    "losses": {"losses"},
    "training": {"training", "losses", "models", "data"},
    "downstream": {"downstream", "training", "models", "data", "losses"},
    "evaluation": {"evaluation", "downstream", "training", "models", "data", "losses"},
    "studies": {"studies", "evaluation", "downstream", "training", "models", "data", "losses"},
}
"""The rooms that each room may import."""

FOUNDATION = {
    "config", "seeding", "variables", "grids", "progress", "ranks", "shares", "spread", "paths",
    "message_board",
}  # fmt: skip
"""Modules that everything may import, and that import only each other."""

COMPOSITION_USERS = (
    "training/worker.py",
    "training/rank.py",
    "training/reporter.py",
    "training/estimate.py",
    "training/checkpoint.py",
    "training/replay.py",
    "training/stopping.py",
    "training/registry.py",
    "training/watchdog.py",
    "downstream/trial*.py",
    "downstream/latents.py",
    "downstream/summary.py",
    "evaluation/*.py",
    "studies/*.py",
)
"""Files in rooms that may import the modules which put the rooms together, such as run."""

RAY_USERS = {
    "data/prepare.py",
    "data/batches.py",
    "training/worker.py",
    "training/rank.py",
    "training/saver.py",
    "training/stopping.py",
    "training/watchdog.py",
    "downstream/trials.py",
    "studies/training.py",
    "studies/evaluation.py",
    "trial_runner.py",
    "cluster.py",
    "capacity.py",
    "message_board.py",
    "nodes.py",
    "turns.py",
    "metrics_export.py",
    "spot_notice.py",
}
"""Everything else works as a plain library."""

PACKAGE = Path(sparta_ray.__file__).parent
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def imports(file):
    """Yield the dotted names that a file imports, those inside functions too."""
    for node in ast.walk(ast.parse((PACKAGE / file).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_parts(file):
    """Return the rooms and root modules of the package that a file imports."""
    names = [name.split(".") for name in imports(file)]
    own = {name[1] for name in names if name[0] == "sparta_ray" and len(name) > 1}
    return {name for name in own if not name.startswith("__")}


def test_every_file_stands_in_a_known_place():
    assert len(FILES) > 40
    rooms = {file.split("/")[0] for file in FILES if "/" in file}
    assert rooms == ROOMS.keys()


@pytest.mark.parametrize("file", [file for file in FILES if "/" in file])
def test_a_room_imports_only_the_rooms_it_may(file):
    room = file.split("/")[0]
    imported = own_parts(file) - FOUNDATION
    composition = imported - ROOMS.keys()
    assert imported & ROOMS.keys() <= ROOMS[room]
    if composition:
        assert any(fnmatch(file, pattern) for pattern in COMPOSITION_USERS), composition


@pytest.mark.parametrize("module", sorted(FOUNDATION))
def test_the_foundation_stands_on_its_own(module):
    assert own_parts(f"{module}.py") <= FOUNDATION


def test_ray_is_imported_only_where_it_is_wired():
    users = {file for file in FILES if any(name.split(".")[0] == "ray" for name in imports(file))}
    assert users <= RAY_USERS
    assert set(FILES) >= RAY_USERS


def test_the_library_works_without_ray():
    program = (
        "import sys, sparta_ray.embedder, sparta_ray.evaluation.preview, sparta_ray.run_folder\n"
        "sys.exit('ray' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_message_board_starts_quickly():
    """Its process, one of each driver, would spend its start on what it does not use."""
    program = (
        "import sys, sparta_ray.message_board\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'xarray', 'pydantic')))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_batches_are_built_without_torch():
    """Every builder is a process of its own: torch would double its start and its memory."""
    program = (
        "import sys, sparta_ray.data.batches, sparta_ray.data.prepare\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
