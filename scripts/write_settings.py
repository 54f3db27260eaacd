"""Write docs/reference/settings.md from the config classes: `python -m scripts.write_settings`."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sparta_ray.base.schema import json_schema
from sparta_ray.run.settings import Run
from sparta_ray.studies.config import StudyConfig

PAGE = Path(__file__).parents[1] / "docs/reference/settings.md"
HEADER = """# Settings

Every key of a run's YAML file and of a study's, with its default. This page is written by
`python -m scripts.write_settings` from the config classes and their docstrings; edit those.

A path names where a key stands: `training.stages[].epochs` is the key `epochs` of any entry of the
list `stages` in the section `training`, and `<name>` is a name of your choice. On the command line,
the same paths change one setting, and a number picks an entry of a list:
`--set training.stages.0.epochs=3`. Where a section has a `kind`, its other keys depend on it. A
section without a default in its row has the defaults of its keys. A key that is
not listed here is an error.

Keys with the unit `steps of data.step` count steps of the data, whatever their names say: with the
default `data.step: 1d` that is days, with `6h` four of them are a day. Keys with the unit `days`
are in days whatever the step. Where a meaning speaks of days without a unit, a day is one step.

`sparta-ray schema` prints the same as a JSON schema, with which editors complete and check a file
while you write it (`sparta-ray schema --study` for a study's file):

```sh
sparta-ray schema > build/run.schema.json
```

The first line of a file then names it, for editors that use the YAML language server:

```yaml
# yaml-language-server: $schema=../build/run.schema.json
```
"""
TABLE = ["| key | type | default | unit | meaning |", "|---|---|---|---|---|"]
_UNIT = re.compile(r"\s*\[([^\]]+)\](?=\.|$)")

Node = dict[str, Any]


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


def page() -> str:
    """Return the page as Markdown."""
    run, study = Reference(json_schema(Run)), Reference(json_schema(StudyConfig))
    lines = [HEADER, "## A run's file\n", *run.lines(), "## A study's file\n", *study.lines()]
    return "\n".join(lines).rstrip() + "\n"


class Reference:
    """The tables of one JSON schema."""

    def __init__(self, schema: Node):
        self.schema = schema
        self.written: set[tuple[str, str | None]] = set()

    def lines(self) -> Iterator[str]:
        """Yield the lines of all tables, outer sections first."""
        yield from self._section(self.schema, "", None, {})

    def _section(self, node: Node, path: str, kind: str | None, value: Node) -> Iterator[str]:
        """Yield the table of one section, then those of the sections inside it.

        Args:
            node: The schema of the section.
            path: Where it stands.
            kind: Which of several alternatives it is, or None.
            value: What stands there by default; keys that are absent have their own defaults.
        """
        if (path, kind) in self.written:
            return
        self.written.add((path, kind))
        title = f"`{path}`" if path else "Top level"
        yield f"### {title}{f' of kind `{kind}`' if kind else ''}\n"
        yield f"{node['description']}\n"
        prefix = f"{path}." if path else ""
        keys = [
            (prefix + key, child, value.get(key, child.get("default", ...)))
            for key, child in node["properties"].items()
        ]
        yield from TABLE
        yield from (self._row(*key) for key in keys)
        yield ""
        for inner_path, child, default in keys:
            sections = list(self._alternatives(child))
            for suffix, section in sections:
                tag = _tag(section) if len(sections) > 1 else None
                given = default if isinstance(default, dict) and not suffix else {}
                if tag and given.get("kind") != tag:
                    given = {}
                yield from self._section(section, inner_path + suffix, tag, given)

    def _row(self, path: str, node: Node, default: Any) -> str:
        text = node.get("description", "")
        if not text:
            raise ValueError(f"{path}: its class's docstring does not describe it")
        unit = _UNIT.search(text)
        cells = (
            f"`{path}`",
            self._type(node),
            self._default(node, default),
            unit[1] if unit else "",
            _UNIT.sub("", text),
        )
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    def _alternatives(self, node: Node) -> Iterator[tuple[str, Node]]:
        """Yield the sections that may stand at a key, each with what its path adds to the key's."""
        if "$ref" in node:
            yield "", self._resolve(node)
        for part in (*node.get("oneOf", ()), *node.get("anyOf", ())):
            yield from self._alternatives(part)
        for name, suffix in (("items", "[]"), ("additionalProperties", ".<name>")):
            if isinstance(node.get(name), dict):
                yield from ((suffix + more, s) for more, s in self._alternatives(node[name]))

    def _resolve(self, node: Node) -> Node:
        found: Node = self.schema["$defs"][node["$ref"].rpartition("/")[2]]
        return found

    def _type(self, node: Node) -> str:
        """Return what a key may hold, in words."""
        if "oneOf" in node:
            tags = [_tag(self._resolve(part)) for part in node["oneOf"]]
            return f"section of kind {_either(f'`{tag}`' for tag in tags)}"
        if "anyOf" in node:
            return _either(self._type(part) for part in node["anyOf"])
        if "$ref" in node:
            return "section"
        if "const" in node or "enum" in node:
            return _either(f"`{value}`" for value in node.get("enum", [node.get("const")]))
        match node.get("type"):
            case "integer" | "number" as number:
                return " ".join((number, " and ".join(_bounds(node)))).strip()
            case "array" if "prefixItems" in node:
                return f"[{', '.join(self._type(item) for item in node['prefixItems'])}]"
            case "array":
                return f"list of {self._type(node['items'])}"
            case "object" if isinstance(node.get("additionalProperties"), dict):
                return f"mapping from names to {self._type(node['additionalProperties'])}"
            case "object":
                return "mapping from names to anything"
            case ["string", "null"]:
                return "text or `null`"
            case "null":
                return "`null`"
            case "string":
                return "text"
            case "boolean":
                return "`true` or `false`"
        return "anything"

    def _default(self, node: Node, value: Any) -> str:
        if value is ...:
            return "required"
        if isinstance(value, dict) and list(self._alternatives(node)):
            shown = self._changed(node, value)
            return f"`{_flow(shown)}`" if shown else ""
        if isinstance(value, list) and list(self._alternatives(node)):
            return f"`{_flow([self._changed(node, entry) for entry in value])}`"
        return f"`{_flow(value)}`"

    def _changed(self, node: Node, value: Node) -> Node:
        """Return what of a default differs from the defaults of its own section, and its kind."""
        sections = dict(self._alternatives(node))
        if any(suffix.startswith(".<name>") for suffix in sections):
            node = node["additionalProperties"]
            return {name: self._changed(node, entry) for name, entry in value.items()}
        for _, section in self._alternatives(node):
            if _tag(section) in (None, value.get("kind")):
                return {
                    key: value[key]
                    for key, child in section["properties"].items()
                    if key == "kind" or value[key] != child.get("default", ...)
                }
        return value


def _tag(section: Node) -> str | None:
    tag: str | None = section["properties"].get("kind", {}).get("const")
    return tag


def _either(words: Iterable[str]) -> str:
    """Return alternatives in words, each once: ``a, b or c``."""
    *others, last = dict.fromkeys(words)
    return f"{', '.join(others)} or {last}" if others else last


def _bounds(node: Node) -> Iterator[str]:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return (f"{sign} {node[name]}" for name, sign in signs.items() if name in node)


def _flow(value: Any) -> str:
    """Return a value on one line, as it may be written in a YAML file."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) and value else json.dumps(value)


if __name__ == "__main__":
    main()
