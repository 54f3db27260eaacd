"""YAML that may come from anyone: read within limits, into plain mappings, lists and scalars."""

import re
from collections import Counter
from typing import Any

import yaml

MOST_BYTES = 2**20
"""Longest text that is read; the largest configuration of this project has four kilobytes."""

MOST_NODES = 20_000
"""Most mappings, lists and scalars, each counted as often as an alias repeats it."""

DEEPEST = 40
"""Most levels of nesting."""


class YamlError(ValueError):
    """A text that is not YAML as we read it; the message says where and why."""


class _Loader(yaml.SafeLoader):
    """Safe YAML in which ``1e-4`` is a number, as YAML 1.2 has it."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*)(\.\d*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)
# A day is read as the text that it is, so that an impossible one is an error of its setting; and
# `on`, `off`, `yes` and `no` are words, as in YAML 1.2.
_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in resolvers if not pair[0].endswith((":timestamp", ":bool"))]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def load_yaml(text: str, most_bytes: int = MOST_BYTES, most_nodes: int = MOST_NODES) -> Any:
    """Return what a YAML text says, in mappings with words as keys, lists and scalars.

    Args:
        text: The text.
        most_bytes: Its greatest length.
        most_nodes: Most mappings, lists and scalars, each counted as often as it is repeated.

    Raises:
        YamlError: It is not valid; it has a key twice, or one that is not a word or number; it is
            longer, larger or deeper than any configuration; or an alias contains itself.
    """
    if len(text) > most_bytes:
        raise YamlError(f"the text has {len(text):,} characters, more than {most_bytes:,}")
    try:
        _check_depth(text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_node(node, most_nodes)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise YamlError(str(error)) from error
    except ValueError as error:  # an impossible number
        raise error if isinstance(error, YamlError) else YamlError(str(error)) from error


def _check_depth(text: str) -> None:
    """Refuse deep nesting before the nodes are made, which takes a call a level."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise YamlError(f"it is nested more than {DEEPEST} levels deep{_place(event)}")


def _check_node(root: yaml.Node, most_nodes: int) -> None:
    """Refuse keys that are no words, keys that stand twice, and aliases that grow or recur."""
    sizes: dict[int, int] = {}
    above: set[int] = set()

    def size_of(node: yaml.Node) -> int:
        if id(node) in sizes:
            return sizes[id(node)]
        if id(node) in above:
            raise YamlError(f"an alias contains itself{_place(node)}")
        above.add(id(node))
        size = 1
        for part in _parts(node):
            size += size_of(part)
            if size > most_nodes:
                raise YamlError(
                    f"it has more than {most_nodes:,} values, counting an alias each time"
                    f"{_place(node)}"
                )
        above.remove(id(node))
        sizes[id(node)] = size
        return size

    size_of(root)


def _parts(node: yaml.Node) -> list[yaml.Node]:
    """Return the nodes within a node, having checked its keys."""
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if not isinstance(node, yaml.MappingNode):
        return []
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise YamlError(f"a key must be a word, not a list or mapping{_place(key)}")
    for name, times in Counter(key.value for key, _ in node.value).items():
        if times > 1:
            raise YamlError(f"the key {name!r} appears {times} times in one mapping{_place(node)}")
    return [part for pair in node.value for part in pair]


def _place(marked: yaml.Node | yaml.Event) -> str:
    mark = marked.start_mark
    return f", line {mark.line + 1}" if mark is not None else ""
