"""The JSON schema of a config class, with each key's description from the class's docstring.

Editors check and complete YAML files with it; ``docs/reference/settings.md`` is written from it.
"""

import dataclasses
import inspect
import re
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema, to_jsonable_python

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_EXTENDS = {
    "type": ["string", "null"],
    "default": None,
    "description": "A file, relative to this one, whose settings this file changes; that file may "
    "not itself extend another.",
}
_TAG = "Chooses this kind of section."


def json_schema(config: type) -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of the YAML files that `config` reads.

    The key ``extends``, which every file may have, is part of it. A file that extends another is
    valid if the merged settings are.

    Args:
        config: A frozen pydantic dataclass, such as `Run`.
    """
    schema = TypeAdapter(config).json_schema(schema_generator=_Generator)
    schema["properties"] = {"extends": _EXTENDS, **schema["properties"]}
    return {"$schema": DIALECT, **schema}


def descriptions(config: type) -> dict[str, str]:
    """Return what the docstrings of a config class and of its bases say of each key.

    A docstring lists its keys under ``Attributes:``, one entry per key, as Google style has it. A
    unit stands in square brackets at the end: ``size: Side of a block [degrees].``
    """
    found = {"kind": _TAG}
    for cls in reversed(config.__mro__):
        if dataclasses.is_dataclass(cls) and cls.__doc__:
            found |= _attributes(inspect.cleandoc(cls.__doc__))
    return found


def _attributes(docstring: str) -> dict[str, str]:
    _, _, section = docstring.partition("\nAttributes:\n")
    section = re.split(r"^\S", section, maxsplit=1, flags=re.MULTILINE)[0]
    entries = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section, flags=re.MULTILINE)
    return {name: _one_line(text) for name, text in entries}


def _one_line(text: str) -> str:
    """Return a docstring's text on one line, with YAML's names of Python's constants."""
    text = " ".join(text.split()).replace("``", "`")
    for python, yaml in (("None", "null"), ("True", "true"), ("False", "false")):
        text = re.sub(rf"(?<!`)\b{python}\b(?!`)", f"`{yaml}`", text)
    return text


class _Generator(GenerateJsonSchema):
    """Pydantic's schema, with a description of every key and the defaults that it leaves out."""

    def sort(self, value: Any, parent_key: str | None = None) -> Any:
        """Keep keys in the order of the config classes, rather than that of the alphabet."""
        return value

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> dict[str, Any]:
        """Return the schema of one config class."""
        config = schema["cls"]
        result = super().dataclass_schema(schema)
        summary = inspect.cleandoc(config.__doc__ or "").partition("\nAttributes:\n")[0]
        result["description"] = _one_line(summary)
        described, defaults = descriptions(config), _defaults(config)
        unordered = result["properties"]
        keys = sorted(config.__pydantic_fields__, key=lambda key: key != "kind")
        result["properties"] = {key: unordered[key] for key in keys}
        for key, property_schema in result["properties"].items():
            property_schema.pop("title", None)
            if key in described:
                property_schema["description"] = described[key]
            if key in defaults:
                property_schema["default"] = defaults[key]
        return result

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> dict[str, Any]:
        """Return the schema of alternatives, of which ``kind`` chooses one."""
        result = super().tagged_union_schema(schema)
        if isinstance(tag := schema["discriminator"], str):
            result["required"] = [tag]
        return result


def _defaults(config: Any) -> dict[str, Any]:
    """Return the defaults of a config class as plain values."""
    values = {
        name: field.get_default(call_default_factory=True)
        for name, field in config.__pydantic_fields__.items()
        if not field.is_required()
    }
    plain: dict[str, Any] = to_jsonable_python(values)
    return plain
