"""Who may import whom. Change the order first, and say why in docs/decisions/."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sparta_ray

FLOORS = (
    "base",
    "losses",
    "models",
    "data",
    "metrics",
    "training",
    "embedder",
    "downstream",
    "run",
    "evaluation",
    "figures",
    "tasks",
    "inspection",
    "report",
    "on_ray",
    "studies",
    "chain",
    "cli",
)
"""The rooms of the package, from the ground up: each imports itself and those before it."""

INNER_ROOMS = ("data", "downstream")
"""Rooms that have rooms of their own; these too import each other without a circle."""

RAY_ROOMS = ("on_ray", "studies")
"""Everything else works as a plain library; jobs may import it too."""

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


def own_modules(file):
    """Return the modules of the package that a file imports, as files."""
    found = set()
    for name in imports(file):
        if name.split(".")[0] == "sparta_ray":
            path = "/".join(name.split(".")[1:])
            found |= {f for f in (f"{path}.py", f"{path}/__init__.py") if f in FILES}
    return found - {"__init__.py"}


def room_of(file):
    return file.split("/")[0].removesuffix(".py")


def test_every_file_stands_in_a_room():
    assert len(FILES) > 40
    assert {room_of(file) for file in FILES if file != "__init__.py"} == set(FLOORS)


def test_no_room_imports_upward():
    floor = {room: number for number, room in enumerate(FLOORS)}
    offenders = [
        f"{file} imports {other}"
        for file in FILES
        if file != "__init__.py"
        for other in sorted(own_modules(file))
        if floor[room_of(other)] > floor[room_of(file)]
    ]
    assert not offenders, "\n".join(offenders)


def test_no_file_imports_itself_through_others():
    links = {file: own_modules(file) - {file} for file in FILES}
    assert circle(links) is None, " -> ".join(circle(links))


@pytest.mark.parametrize("room", INNER_ROOMS)
def test_inner_rooms_make_no_circle(room):
    def inner(file):
        parts = file.split("/")
        return parts[1] if len(parts) > 2 else None  # loose files stand for themselves

    links = {}
    for file in FILES:
        if room_of(file) == room and inner(file):
            others = {inner(other) for other in own_modules(file) if room_of(other) == room}
            links.setdefault(inner(file), set()).update(others - {None, inner(file)})
    assert circle(links) is None, " -> ".join(circle(links))


def circle(links):
    """Return a path through `links` that ends where it began, or None."""
    done = set()

    def walk(place, path):
        if place in path:
            return [*path[path.index(place) :], place]
        if place in done:
            return None
        for other in sorted(links.get(place, ())):
            if found := walk(other, [*path, place]):
                return found
        done.add(place)
        return None

    return next((found for place in sorted(links) if (found := walk(place, []))), None)


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) is None


def test_ray_is_imported_only_where_it_is_wired():
    users = [file for file in FILES if any(name.split(".")[0] == "ray" for name in imports(file))]
    assert {"on_ray/train.py", "on_ray/stream.py"} <= set(users)
    offenders = [file for file in users if room_of(file) not in RAY_ROOMS]
    assert not offenders, "\n".join(offenders)


def without(modules, program):
    """Run a program in a process of its own that fails if it has loaded any of the modules."""
    check = f"sys.exit(any(name in sys.modules for name in {tuple(modules)}))"
    subprocess.run([sys.executable, "-c", f"import sys\n{program}\n{check}"], check=True)


def test_the_library_works_without_ray():
    without(["ray"], "import sparta_ray.embedder, sparta_ray.figures.batch_preview")


def test_the_message_board_starts_quickly():
    """Its process, one of each driver, would spend its start on what it does not use."""
    without(["torch", "xarray", "pydantic"], "import sparta_ray.on_ray.message_board")


def test_batches_are_built_without_torch():
    """Every builder is a process of its own: torch would double its start and its memory."""
    without(["torch"], "import sparta_ray.on_ray.stream, sparta_ray.on_ray.prepare")
