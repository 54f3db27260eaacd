"""Records on disk: decoded by a schema, or one error that says what is wrong with which file."""

import json
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, TypeVar, cast

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from sparta_ray.base.errors import ConfigError, ReadError
from sparta_ray.base.yaml_text import MOST_BYTES, MOST_NODES, YamlError, load_yaml

Record = TypeVar("Record")

Finite = Annotated[float, Field(allow_inf_nan=False)]
"""A number that is neither infinite nor NaN."""


def _increasing(values: list[float]) -> list[float]:
    if any(second <= first for first, second in pairwise(values)):
        raise ValueError("the numbers must increase")
    return values


Axis = Annotated[list[Finite], Field(min_length=1), AfterValidator(_increasing)]
"""Coordinates of a grid: finite numbers that increase, at least one."""

Count = Annotated[int, Field(ge=0, lt=2**62)]
"""A number of things."""

Fingerprint = Annotated[str, Field(pattern=r"^[\w-]{1,200}$")]
"""Of data; names folders, too."""

_LARGER = 20
"""How much larger than a configuration a record may be: a study's lists a thousand trials."""

_SHOWN = 3
"""Most problems of one file that are named."""


def decode_json(content: str | bytes, schema: type[Record], origin: str, remedy: str) -> Record:
    """Return what a JSON text says.

    Args:
        content: The text.
        schema: What it must hold, such as a `TypedDict`; further keys are ignored.
        origin: Path of the file, for errors.
        remedy: What its owner can do if it is damaged.

    Raises:
        ConfigError: It is torn, is not text, lacks a key or holds another type.
    """
    try:
        decoded: Record = _adapter(cast("Hashable", schema)).validate_json(content, strict=True)
    except ValidationError as error:
        raise damaged(origin, _explain(error), remedy) from error
    return decoded


def decode_yaml(content: str | bytes, schema: type[Record], origin: str, remedy: str) -> Record:
    """Return what a YAML text says; as `decode_json`.

    Raises:
        ConfigError: It is torn, is not text, is too large, lacks a key or holds another type.
    """
    try:
        text = content if isinstance(content, str) else content.decode()
        tree = load_yaml(text, _LARGER * MOST_BYTES, _LARGER * MOST_NODES)
    except (YamlError, UnicodeDecodeError) as error:
        raise damaged(origin, " ".join(str(error).split()), remedy) from error
    return decode_json(json.dumps(tree, default=str), schema, origin, remedy)


def damaged(origin: str, what: str, remedy: str) -> ConfigError:
    """Return the error of a file whose content cannot be used."""
    return ConfigError(f"{origin} is damaged: {what}; {remedy}")


@contextmanager
def decoding(origin: str, remedy: str) -> Iterator[None]:
    """Turn whatever a library raises on the content of a file into one error.

    Decoders of arrays and weights raise errors of a dozen types on damaged content. What the
    system says of a file as a whole, that it is absent for example, is passed on.

    Raises:
        ConfigError: Names the file and the cause.
    """
    try:
        yield
    except (ConfigError, ReadError, MemoryError, FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # see above
        text = " ".join(str(error).split())[:300]
        raise damaged(origin, text or type(error).__name__, remedy) from error


@cache
def _adapter(schema: Any) -> TypeAdapter[Any]:
    return TypeAdapter(schema)


def _explain(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False)
    lines = []
    for problem in problems[:_SHOWN]:
        path = ".".join(map(str, problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ")
        what = "required, but absent" if problem["type"] == "missing" else message
        lines.append(f"{path}: {what}" if path else what)
    if len(problems) > _SHOWN:
        lines.append(f"{len(problems) - _SHOWN} more")
    return ", ".join(lines)
