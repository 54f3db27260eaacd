"""Configuration: a YAML file and ``--set`` overrides become one frozen dataclass, or one error."""

import dataclasses
import difflib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.yaml_text import YamlError, load_yaml

Schema = TypeVar("Schema")

STRICT = ConfigDict(extra="forbid")
"""Every config dataclass uses this: a key nobody reads is a mistake, not a comment."""


def load(schema: type[Schema], path: str | Path | None, overrides: Sequence[str] = ()) -> Schema:
    """Read a config file, apply ``a.b=c`` overrides and check the result against `schema`.

    Args:
        schema: A frozen pydantic dataclass.
        path: A YAML file, which may name one file it ``extends:``; None for all defaults.
        overrides: Texts such as ``model.width=0.5``; the value is read as YAML.

    Raises:
        ConfigError: Unknown key, wrong type, value out of range, or unreadable file.
    """
    tree = {} if path is None else read_tree(Path(path))
    for override in overrides:
        tree = _apply_override(tree, override)
    origin = "defaults" if path is None else str(path)
    return from_tree(schema, tree, f"{origin} with --set" if overrides else origin)


def read_tree(path: Path, may_extend: bool = True) -> dict[str, Any]:
    """Return the file's mapping merged over that of the file it extends."""
    try:
        tree = load_yaml(path.read_text())
    except OSError as error:
        raise ConfigError(f"cannot read config {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot read config {path}: it is not text") from error
    except YamlError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} must hold a mapping, not {type(tree).__name__}")
    base = tree.pop("extends", None)
    if base is None:
        return tree
    if not isinstance(base, str):
        raise ConfigError(f"{path}: `extends` must name a file, not {base!r}")
    if not may_extend:
        raise ConfigError(f"{path} extends {base}: only one level of `extends` is allowed")
    return _merge(read_tree(path.parent / base, may_extend=False), tree)


def from_tree(schema: type[Schema], tree: Mapping[str, Any], origin: str) -> Schema:
    """Check a mapping against `schema`; numbers and lists keep their YAML meaning."""
    _check_numbers(tree, origin)
    adapter = TypeAdapter(schema)
    try:
        # JSON mode: a list may stand for a tuple, yet "12" is no number.
        return adapter.validate_json(json.dumps(tree, default=str), strict=True)
    except ValidationError as error:
        raise ConfigError(f"{origin}:\n" + "\n".join(_explain(error, schema))) from error


def _check_numbers(tree: Mapping[str, Any], origin: str) -> None:
    """Refuse numbers that no setting means, such as an infinite one."""
    for path, value in _leaves(tree):
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{origin}:\n  {path}: must be a finite number (got {value})")
        if isinstance(value, int) and abs(value) >= 2**63:
            raise ConfigError(
                f"{origin}:\n  {path}: must be a number of at most 64 bits (got {value:.3g})"
            )


def to_tree(config: Any) -> dict[str, Any]:
    """Return a config as plain dicts, lists and scalars; `from_tree` of it gives it back."""
    tree = json.loads(json.dumps(dataclasses.asdict(config)))
    assert isinstance(tree, dict)
    return tree


def to_yaml(config: Any) -> str:
    """Return the resolved config as YAML."""
    return yaml.safe_dump(to_tree(config), sort_keys=False)


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], ignoring: Iterable[str] = ()
) -> list[str]:
    """List each path at which two config trees differ, as ``path: old -> new``.

    Args:
        old: A tree.
        new: Another.
        ignoring: Paths that do not count, with all that is below them.
    """
    flat_old, flat_new = dict(_leaves(old)), dict(_leaves(new))
    below = tuple(f"{path}." for path in ignoring)
    return [
        f"{path}: {flat_old.get(path, '(absent)')!r} -> {flat_new.get(path, '(absent)')!r}"
        for path in sorted(flat_old.keys() | flat_new.keys())
        if flat_old.get(path, "(absent)") != flat_new.get(path, "(absent)")
        and not f"{path}.".startswith(below)
    ]


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    items: Iterator[tuple[Any, Any]]
    if isinstance(tree, Mapping) and tree:
        items = iter(tree.items())
    elif isinstance(tree, list) and tree:
        items = enumerate(tree)
    else:
        yield path, tree
        return
    for key, value in items:
        yield from _leaves(value, f"{path}.{key}" if path else str(key))


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two mappings; a tagged section of another ``kind`` replaces the whole section."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        other_kind = (
            isinstance(old, dict)
            and isinstance(value, dict)
            and "kind" in value
            and value["kind"] != old.get("kind")
        )
        if isinstance(old, dict) and isinstance(value, dict) and not other_kind:
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged


def _apply_override(tree: dict[str, Any], override: str) -> dict[str, Any]:
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(f"--set {override!r}: write it as path.to.key=value")
    try:
        value = load_yaml(text)
    except YamlError as error:
        raise ConfigError(f"--set {override!r}: {text!r} is not valid YAML: {error}") from error
    changed: dict[str, Any] = _set_at(tree, keys, value, f"--set {override!r}")
    return changed


def with_settings(
    tree: Mapping[str, Any], settings: Mapping[str, Any], origin: str
) -> dict[str, Any]:
    """Return a config tree with further settings, whose keys may be paths such as ``model.width``.

    A mapping is merged into what stands there, as a file is over the one it extends.

    Args:
        tree: Stays as it is.
        settings: Values by path.
        origin: Where they come from, for errors.

    Raises:
        ConfigError: A path leads through something that has no keys.
    """
    changed = dict(tree)
    for path, value in settings.items():
        keys = path.split(".")
        if isinstance(value, Mapping):
            for key in reversed(keys):
                value = {key: value}
            changed = _merge(changed, value)
        else:
            changed = _set_at(changed, keys, value, f"{origin}: {path}={value}")
    return changed


def _set_at(node: Any, keys: list[str], value: Any, origin: str) -> Any:
    """Return a copy of `node` with `value` at `keys`; numbers index lists."""
    key, rest = keys[0], keys[1:]
    if isinstance(node, list):
        if not key.isdigit() or int(key) >= len(node):
            raise ConfigError(f"{origin}: {key!r} is no index of a list of {len(node)} entries")
        copy = list(node)
        copy[int(key)] = _set_at(node[int(key)], rest, value, origin) if rest else value
        return copy
    if node is not None and not isinstance(node, dict):
        raise ConfigError(f"{origin}: {node!r} has no key {key!r}")
    mapping = dict(node or {})
    mapping[key] = _set_at(mapping.get(key), rest, value, origin) if rest else value
    return mapping


def _explain(error: ValidationError, schema: Any) -> Iterator[str]:
    for problem in error.errors():
        path = ".".join(map(str, problem["loc"])) or "(top level)"
        if problem["type"] in ("unexpected_keyword_argument", "dataclass_exact_type"):
            yield f"  {path}: unknown key{_nearest(problem, schema)}"
        elif problem["type"] == "missing":
            setting = ".".join(_without_kinds(problem["loc"], schema))
            yield f"  {path}: required, but absent; write it there, or give --set {setting}=…"
        else:
            message = problem["msg"].removeprefix("Value error, ")
            shown = f" (got {problem['input']!r})" if _is_short(problem["input"]) else ""
            yield f"  {path}: {message}{shown}"


def _without_kinds(path: Sequence[str | int], schema: Any) -> Iterator[str]:
    """Yield the keys of a path as a user writes it, without the kinds that pydantic puts in."""
    for place, key in enumerate(path):
        if place == 0 or str(key) in _keys_at(schema, path[:place]) or str(key).isdigit():
            yield str(key)


def _is_short(value: Any) -> bool:
    return isinstance(value, int | float) or len(repr(value)) < 60


def _nearest(problem: Any, schema: Any) -> str:
    """Suggest what a misspelt key may have meant, among the keys of the section it stands in."""
    *section, key = problem["loc"]
    known = _keys_at(schema, section)
    close = difflib.get_close_matches(str(key), known, n=3)
    return f"; did you mean {' or '.join(close)}?" if close else f"; known here: {', '.join(known)}"


def _keys_at(schema: Any, path: Sequence[str | int]) -> list[str]:
    """Return the keys that a section may have; a path names fields, list entries and kinds."""
    sections = _sections(schema)
    for key in path:
        of_kind = [part for part in sections if key in get_args(get_type_hints(part).get("kind"))]
        inner = [
            part
            for section in sections
            if key in (hints := get_type_hints(section))
            for part in _sections(hints[str(key)])
        ]
        sections = of_kind or inner or sections  # else an entry of a list or mapping of sections
    return sorted({name for section in sections for name in get_type_hints(section)})


def _sections(hint: Any) -> list[Any]:
    """Return the dataclasses that a type is made of, such as the kinds of a union."""
    if dataclasses.is_dataclass(hint):
        return [hint]
    return [section for part in get_args(hint) for section in _sections(part)]
