"""What a store's ``zarr.json`` may say: our own record, and arrays as `prepare` writes them.

Zarr decodes an array by what its metadata names, some of which runs code. So only codecs that are
plain data are accepted, and sizes that a store can have, before anything is read or allocated.
"""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from sparta_ray.base.records import Count, Fingerprint
from sparta_ray.data.store.statistics import StatisticsRecord, complete

META = "sparta"
"""The attribute of a store that keeps its own record."""

COORDINATES = ("time", "variable", "longitude", "latitude")

MOST_STEPS = 10**7
"""A thousand years of hours."""

_LARGEST = {"time": MOST_STEPS, "variable": 10**4, "longitude": 10**5, "latitude": 10**5}

_TYPES: dict[str, Collection[str]] = {
    "time": ("int64", "int32"),
    "variable": ("string",),
    "longitude": ("float64", "float32"),
    "latitude": ("float64", "float32"),
    "fields": ("float32", "float64", "float16"),
}

REMEDY = "copy the store again, or delete it and prepare it anew"
"""What helps where a store is damaged."""


@with_config(ConfigDict(extra="allow"))
class Provenance(TypedDict):
    """Where a store's data come from; has further entries for people to read."""

    recipe: NotRequired[dict[str, Any]]
    simulated: NotRequired[bool]
    title: NotRequired[str]
    source: NotRequired[str]
    licence: NotRequired[str]
    read_chunk: NotRequired[Annotated[int, Field(ge=1, le=MOST_STEPS)]]
    chunk_offset: NotRequired[Annotated[int, Field(ge=0, le=MOST_STEPS)]]


class _Meta(TypedDict):
    """A store's own record."""

    complete: bool
    provenance: Provenance
    training_days: NotRequired[Annotated[int, Field(ge=1, le=MOST_STEPS)]]
    statistics: NotRequired[Annotated[StatisticsRecord, AfterValidator(complete)]]
    fingerprint: NotRequired[Fingerprint]


def _finished(meta: _Meta) -> _Meta:
    """Refuse a finished store whose record lacks what makes it one."""
    lacking = {"training_days", "statistics", "fingerprint"} - meta.keys()
    if meta["complete"] and lacking:
        raise ValueError(f"lacks {', '.join(sorted(lacking))}")
    return meta


class _Codec(TypedDict):
    name: Literal["bytes", "vlen-utf8", "crc32c", "zstd", "gzip", "blosc", "transpose"]


class _Sharding(TypedDict):
    chunk_shape: list[Annotated[int, Field(ge=1)]]
    codecs: list[_Codec]
    index_codecs: list[_Codec]


class _Sharded(TypedDict):
    name: Literal["sharding_indexed"]
    configuration: _Sharding


class _ChunkShape(TypedDict):
    chunk_shape: list[Annotated[int, Field(ge=1)]]


class _ChunkGrid(TypedDict):
    name: Literal["regular"]
    configuration: _ChunkShape


class ArrayRecord(TypedDict):
    """The metadata of one array."""

    node_type: Literal["array"]
    shape: list[Count]
    data_type: str
    chunk_grid: _ChunkGrid
    codecs: list[Annotated[_Codec | _Sharded, Field(discriminator="name")]]
    attributes: NotRequired[dict[str, Any]]
    storage_transformers: NotRequired[Annotated[list[Any], Field(max_length=0)]]


class _OwnAttributes(TypedDict):
    sparta: NotRequired[Annotated[_Meta, AfterValidator(_finished)]]


class _Arrays(TypedDict):
    metadata: dict[str, Any]


class GroupRecord(TypedDict):
    """The metadata of a store."""

    attributes: NotRequired[_OwnAttributes]
    consolidated_metadata: NotRequired[_Arrays | None]


def misfit(arrays: Mapping[str, ArrayRecord]) -> str:
    """Return what keeps arrays from being those of a store; empty if nothing does.

    Args:
        arrays: The coordinates and, unless they stream, the fields.
    """
    for name, array in arrays.items():
        wanted = 4 if name == "fields" else 1
        if len(array["shape"]) != wanted or array["data_type"] not in _TYPES[name]:
            return f"{name} has shape {array['shape']} and type {array['data_type']}"
        if len(array["chunk_grid"]["configuration"]["chunk_shape"]) != wanted:
            return f"the chunks of {name} have another number of axes than it has"
    axes = [arrays[name]["shape"][0] for name in COORDINATES]
    for name, length in zip(COORDINATES, axes, strict=True):
        if not 1 <= length <= _LARGEST[name]:
            return f"{name} has {length:,} entries, not 1 to {_LARGEST[name]:,}"
    if "fields" in arrays and arrays["fields"]["shape"] != axes:
        return f"fields has shape {arrays['fields']['shape']}, its coordinates {axes}"
    return _attributes(arrays)


def _attributes(arrays: Mapping[str, ArrayRecord]) -> str:
    """Return what is wrong with the attributes that are read of coordinates."""
    units = arrays["variable"].get("attributes", {}).get("channel_units")
    if not isinstance(units, list) or not all(isinstance(unit, str) for unit in units):
        return "variable has no channel_units"
    if len(units) != arrays["variable"]["shape"][0]:
        return f"variable has {arrays['variable']['shape'][0]} entries and {len(units)} units"
    since = arrays["time"].get("attributes", {}).get("units")
    if since not in ("days since 1900-01-01", "hours since 1900-01-01"):
        return f"time counts {since!r}"
    return ""
