"""Damage to files, for tests that read them: torn, foreign and hostile content."""

import copy
import json

from hypothesis import strategies as st

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**13), 10**13),
    st.sampled_from([float("nan"), float("inf"), -1, 10**12, "", "../..", [], {}, [[]], "NaN"]),
    st.text(max_size=5),
)
"""Values that may stand where another is expected."""


def places(tree, path=()):
    """Yield the path of every value in a tree."""
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in entries:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


@st.composite
def damaged_bytes(draw, content):
    """Draw a file cut short, with bytes overwritten, or of random bytes."""
    kind = draw(st.sampled_from(["cut", "overwrite", "random"]))
    if kind == "cut":
        return content[: draw(st.integers(0, len(content) - 1))]
    if kind == "random":
        return draw(st.binary(max_size=60))
    start = draw(st.integers(0, len(content) - 1))
    return content[:start] + draw(st.binary(min_size=1, max_size=8)) + content[start + 8 :]


@st.composite
def damaged_json(draw, tree):
    """Draw a JSON file's bytes with a key missing, a value of another type, or damaged bytes."""
    kind = draw(st.sampled_from(["bytes", "delete", "replace", "deep", "replace"]))
    if kind == "bytes":
        return draw(damaged_bytes(json.dumps(tree).encode()))
    if kind == "deep":
        return b"[" * 100_000
    changed = copy.deepcopy(tree)
    *above, last = draw(st.sampled_from(list(places(tree))))
    node = changed
    for key in above:
        node = node[key]
    if kind == "delete":
        del node[last]
    else:
        node[last] = draw(ODD)
    return json.dumps(changed).encode()
