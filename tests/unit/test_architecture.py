"""The page on the architecture: its picture is current, and what it names is there."""

import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from scripts.draw_architecture import PICTURE, count_imports, picture
from tests.unit.test_import_rule import FLOORS, PACKAGE, RAY_ROOMS

PAGE = Path(__file__).parents[2] / "docs/architecture.md"
ROOT = PACKAGE.parent


def test_the_picture_is_current():
    drawn = picture(count_imports(), FLOORS[::-1], RAY_ROOMS)
    assert PICTURE.read_text() == drawn, "run: python -m scripts.draw_architecture"


def test_a_picture_counts_each_import():
    imports = Counter({("top", "ground"): 12, ("top", "middle"): 3, ("middle", "ground"): 4})
    drawn = ElementTree.fromstring(picture(imports, ("top", "middle", "ground"), ("middle",)))
    texts = [node.text for node in drawn.iter() if node.tag.endswith("}text")]
    assert [text for text in texts if text.isdigit()] == ["4", "12", "3"]
    assert {"top", "middle", "ground"} <= set(texts)
    lines = [n.get("d") for n in drawn.iter() if n.tag.endswith("}path") and "H" in n.get("d")]
    assert len(lines) == 2  # of top and of middle; the ground imports nothing


def test_every_room_is_described():
    described = re.findall(r"^\| \[?`([\w/.]+)`", PAGE.read_text(), flags=re.MULTILINE)
    assert described == list(FLOORS)


def test_what_the_page_names_is_there():
    text = PAGE.read_text()
    paths = set(re.findall(r"`([\w/]+(?:/|\.py|\.md|\.toml))`", text))
    assert len(paths) > 30
    missing = [path for path in paths if not ((ROOT / path).exists() or (PACKAGE / path).exists())]
    assert not missing
    linked = set(re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", text))
    assert not [target for target in linked if not (PAGE.parent / target).exists()]
