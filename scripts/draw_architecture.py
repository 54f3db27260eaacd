"""Draw docs/architecture.svg from the package's imports: ``python -m scripts.draw_architecture``.

The rooms stand on a staircase, `cli` at its top and `base` on the ground. A room's line runs to the
right; wherever it turns down, it imports the room it ends at.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.unit.test_import_rule import FILES, FLOORS, RAY_ROOMS, own_modules, room_of

PICTURE = Path(__file__).parents[1] / "docs/architecture.svg"
COLUMN, ROW = 66, 42
BOX_WIDTH, BOX_HEIGHT = 96, 26
MARGIN = 12
INK, LINE, PLAIN, WITH_RAY = "#1f2933", "#7b8794", "#e4ecf5", "#f7d9b8"
LEGEND = (
    "Rooms of sparta_ray, from cli down to base.",
    "A line runs right from a room and turns",
    "down to each room that it imports.",
    "Numbers count pairs of files that import.",
    "Orange rooms may import Ray.",
)


def main() -> None:
    """Write the picture."""
    PICTURE.write_text(picture(count_imports(), FLOORS[::-1], RAY_ROOMS))


def count_imports() -> Counter[tuple[str, str]]:
    """Return how many pairs of files join each two rooms: (importing, imported)."""
    return Counter(
        (room_of(file), room_of(other))
        for file in FILES
        if file != "__init__.py"
        for other in own_modules(file)
        if room_of(other) != room_of(file)
    )


def picture(
    imports: Counter[tuple[str, str]], rooms: tuple[str, ...], with_ray: tuple[str, ...]
) -> str:
    """Return an SVG of the rooms and their imports.

    Args:
        imports: Counts by (importing, imported) room.
        rooms: From the top floor to the ground.
        with_ray: Rooms in the other colour.
    """
    width = 2 * MARGIN + BOX_WIDTH + COLUMN * (len(rooms) - 1)
    height = 2 * MARGIN + BOX_HEIGHT + ROW * (len(rooms) - 1)
    places = {
        room: (MARGIN + BOX_WIDTH // 2 + COLUMN * i, MARGIN + BOX_HEIGHT // 2 + ROW * i)
        for i, room in enumerate(rooms)
    }
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}" text-anchor="middle">',
        "<title>Rooms of the package and their imports</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
        '<marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="{LINE}"/></marker>',
        f'<g stroke="{LINE}" fill="none">',
        *_arrows(imports, places),
        "</g>",
        *_counts(imports, places),
        *(_box(room, *places[room], room in with_ray) for room in rooms),
        *_legend(height),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


Places = dict[str, tuple[int, int]]


def _arrows(imports: Counter[tuple[str, str]], places: Places) -> Iterator[str]:
    """Yield a line out of every room that imports, and an arrow into every room imported."""
    for room, (x, y) in places.items():
        if targets := [places[other][0] for importer, other in imports if importer == room]:
            yield f'<path d="M{x},{y} H{max(targets)}"/>'
        if sources := [places[other][1] for other, imported in imports if imported == room]:
            edge = y - BOX_HEIGHT // 2
            yield f'<path d="M{x},{min(sources)} V{edge}" marker-end="url(#arrow)"/>'


def _counts(imports: Counter[tuple[str, str]], places: Places) -> Iterator[str]:
    """Yield, where an arrow leaves a room's line, a disc with the number of imports."""
    for (importer, imported), count in sorted(imports.items()):
        x, y = places[imported][0], places[importer][1]
        yield f'<circle cx="{x}" cy="{y}" r="10" fill="white" stroke="{LINE}"/>'
        yield f'<text x="{x}" y="{y + 4}" font-size="11">{count}</text>'


def _box(room: str, x: int, y: int, with_ray: bool) -> str:
    left, top = x - BOX_WIDTH // 2, y - BOX_HEIGHT // 2
    fill = WITH_RAY if with_ray else PLAIN
    return (
        f'<rect x="{left}" y="{top}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="4" '
        f'fill="{fill}" stroke="{INK}"/><text x="{x}" y="{y + 4}">{room}</text>'
    )


def _legend(height: int) -> Iterator[str]:
    for number, text in enumerate(reversed(LEGEND)):
        y = height - MARGIN - 4 - 18 * number
        yield f'<text x="{MARGIN}" y="{y}" text-anchor="start">{text}</text>'


if __name__ == "__main__":
    main()
