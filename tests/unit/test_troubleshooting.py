"""Every message that the page on troubleshooting quotes is one that the package can give."""

import ast
import re
from pathlib import Path

import pytest

import sparta_ray

PAGE = Path(__file__).parents[2] / "docs/troubleshooting.md"
QUOTED = re.findall(r"^### `(.+)`$", PAGE.read_text(), flags=re.MULTILINE)


def texts(path):
    """Yield a file's string literals but docstrings, with … for what is formatted into them."""
    tree = ast.parse(path.read_text())
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in alone:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                part.value if isinstance(part, ast.Constant) else "…" for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


MESSAGES = "\n".join(
    text for path in sorted(Path(sparta_ray.__file__).parent.rglob("*.py")) for text in texts(path)
)


@pytest.mark.parametrize("quoted", QUOTED)
def test_the_package_gives_the_message(quoted):
    assert quoted.removeprefix("…") in MESSAGES, "quote the message as it is now"


def test_the_page_quotes_many_and_none_twice():
    assert len(QUOTED) >= 25
    assert len(set(QUOTED)) == len(QUOTED)


def test_every_message_has_a_cause_and_a_remedy():
    entries = re.split(r"^### ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    lacking = [
        e.splitlines()[0] for e in entries if not {"**Cause:**", "**Remedy:**"} <= set(e.split())
    ]
    assert not lacking
