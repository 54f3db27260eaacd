"""The store: steps of standardisable fields in Zarr, or with `mode: stream` all but the fields.

Training, downstream tasks and evaluation see nothing else of the data.

Legend: V variables, X longitudes, Y latitudes.
"""

import json
from collections.abc import Callable
from functools import cached_property
from typing import Any, cast

import numpy as np
import zarr
from numpy.typing import NDArray

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.paths import is_local, open_filesystem
from sparta_ray.base.records import damaged, decode_json, decoding
from sparta_ray.data.retry import reached
from sparta_ray.data.store.block_cache import CacheConfig
from sparta_ray.data.store.cached_reader import keep_on_node
from sparta_ray.data.store.layout import StoreLayout
from sparta_ray.data.store.metadata import (
    COORDINATES,
    REMEDY,
    ArrayRecord,
    GroupRecord,
    misfit,
)
from sparta_ray.data.store.readers import Fields, Reader, open_reader
from sparta_ray.data.store.statistics import Statistics

EPOCH = np.datetime64("1900-01-01")
"""Time is counted from here."""

_LATEST = 10**8
"""Days or hours from there, beyond which no date is meant."""


def read_meta(path: str) -> dict[str, Any] | None:
    """Return the store's own record, or None where there is no store.

    Raises:
        ConfigError: Another Zarr store is there, or its bucket cannot be reached.
    """
    filesystem, root = open_filesystem(path)
    try:
        with reached(path):
            text = filesystem.cat_file(f"{root}/zarr.json")
    except FileNotFoundError:
        return None
    except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
        if error.errno is None:  # of a bucket
            raise
        raise ConfigError(f"cannot read the store {path}: {error.strerror}") from error
    record = decode_json(text, GroupRecord, f"{path}/zarr.json", REMEDY)
    if "sparta" not in record.get("attributes", {}):
        raise ConfigError(f"{path} is a Zarr store, but none that `prepare` wrote; choose another")
    return cast("dict[str, Any]", record["attributes"]["sparta"])


def check_arrays(path: str, with_fields: bool = True) -> None:
    """Refuse arrays that no preparation wrote, before Zarr decodes anything by their metadata.

    Raises:
        ConfigError: One is missing, damaged, of an impossible size, or has an unknown codec.
    """
    filesystem, root = open_filesystem(path)

    def read(name: str) -> bytes:
        try:
            with reached(path):
                return bytes(filesystem.cat_file(f"{root}/{name}"))
        except FileNotFoundError as error:
            raise ConfigError(f"the store lacks {path}/{name}; {REMEDY}") from error

    group = decode_json(read("zarr.json"), GroupRecord, f"{path}/zarr.json", REMEDY)
    inline = group.get("consolidated_metadata")
    consolidated = None if inline is None else inline["metadata"]
    arrays = {}
    for name in (*COORDINATES, *(["fields"] * with_fields)):
        file = f"{name}/zarr.json"
        if consolidated is None:
            text = read(file)
        elif name in consolidated:
            text = json.dumps(consolidated[name]).encode()
        else:
            raise damaged(f"{path}/zarr.json", f"it does not mention {name}", REMEDY)
        arrays[name] = decode_json(text, ArrayRecord, f"{path}/{file}", REMEDY)
    if what := misfit(arrays):
        raise damaged(path, what, REMEDY)


OpenStream = Callable[[str, StoreLayout, str, CacheConfig], Reader]
"""Opens the source behind a store: of its path, layout, fingerprint and the node's cache."""


class Store:
    """A complete store, opened for reading; cheap to open and to send to another process."""

    def __init__(
        self,
        path: str,
        cache: CacheConfig | None = None,
        open_stream: OpenStream | None = None,
        meta: dict[str, Any] | None = None,
    ):
        """Open a store.

        Args:
            path: Where it is.
            cache: What this node may keep of its fields if they lie elsewhere.
            open_stream: Opens the source of a store that holds no fields of its own; a function
                of a module, so that it can be sent to another process. `open_store` gives it.
            meta: The store's own record, if `read_meta` has just returned it.

        Raises:
            ConfigError: There is none, or its preparation is not finished.
        """
        meta = read_meta(path) if meta is None else meta
        if meta is None:
            raise ConfigError(f"no store at {path}; run jobs/prepare_data.py first")
        if not meta["complete"]:
            raise ConfigError(
                f"the store at {path} is not complete; run jobs/prepare_data.py again to continue"
            )
        self.path, self._cache = path, cache or CacheConfig()
        self._open_stream = open_stream
        self.provenance: dict[str, Any] = meta["provenance"]
        self.fingerprint: str = meta["fingerprint"]
        self.training_days: int = meta["training_days"]
        self.statistics = Statistics.from_json(meta["statistics"])

    def __reduce__(self) -> tuple[type["Store"], tuple[str, CacheConfig, OpenStream | None]]:
        return Store, (self.path, self._cache, self._open_stream)

    def __len__(self) -> int:
        return len(self.days)

    @cached_property
    def days(self) -> NDArray[np.datetime64]:
        """Beginnings of the steps, in whole days or else hours, shape (T,)."""
        unit = "D" if str(self._group["time"].attrs["units"]).startswith("days") else "h"
        count = self._coordinate("time")
        steps = np.unique(np.diff(count))
        if len(steps) > 1 or np.any(steps < 1) or np.abs(count).max() > _LATEST:
            raise damaged(f"{self.path}/time", "its steps are not consecutive", REMEDY)
        days: NDArray[np.datetime64] = EPOCH + count.astype(f"m8[{unit}]")
        return days

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """Labels of the channels, in order."""
        return tuple(str(label) for label in self._coordinate("variable"))

    @cached_property
    def longitude(self) -> NDArray[np.float64]:
        """Degrees east, shape (X,)."""
        return self._axis("longitude")

    @cached_property
    def latitude(self) -> NDArray[np.float64]:
        """Degrees north, shape (Y,)."""
        return self._axis("latitude")

    @property
    def layout(self) -> StoreLayout:
        """What the store holds."""
        units = self._group["variable"].attrs["channel_units"]
        assert isinstance(units, list)
        return StoreLayout(
            self.days,
            self.variables,
            tuple(map(str, units)),
            self.longitude,
            self.latitude,
            self.provenance,
            self._array.shards[0] if "fields" in self._group and self._array.shards else len(self),
        )

    @property
    def grid(self) -> tuple[int, int]:
        """(X, Y)."""
        return len(self.longitude), len(self.latitude)

    @property
    def may_miss_values(self) -> bool:
        """Whether fields may hold NaN; otherwise nobody has to look for it."""
        return bool(self.provenance.get("recipe", {}).get("max_missing", 0) > 0)

    def read(self, days: NDArray[np.int64]) -> Fields:
        """Return physical fields of any steps, in the order asked, shape (n, V, X, Y).

        NaN where the source misses a value.
        """
        return self._reader.read(days)

    def read_standardised(self, days: NDArray[np.int64]) -> Fields:
        """Return (x - mean) / std with the training split's statistics, shape (n, V, X, Y)."""
        fields = self.read(days)
        fields -= self.statistics.mean.astype(np.float32)[:, None, None]
        fields *= (1 / self.statistics.std).astype(np.float32)[:, None, None]
        return fields

    def to_physical(self, fields: NDArray[Any]) -> Fields:
        """Undo the standardisation of an array (…, V, X, Y)."""
        std, mean = self.statistics.std[:, None, None], self.statistics.mean[:, None, None]
        return (fields * std + mean).astype(np.float32)

    @cached_property
    def _reader(self) -> Reader:
        """Where fields come from."""
        if self._streams:
            assert self._open_stream is not None, "open a store whose fields are read by open_store"
            return self._open_stream(self.path, self.layout, self.fingerprint, self._cache)
        reader = open_reader(self.path, self._array)
        if is_local(self.path):
            return reader
        return keep_on_node(reader, self.layout, self.fingerprint, self._cache)

    @property
    def _streams(self) -> bool:
        return bool(self.provenance.get("recipe", {}).get("mode") == "stream")

    @cached_property
    def _group(self) -> zarr.Group:
        check_arrays(self.path, with_fields=not self._streams)
        try:
            with decoding(self.path, REMEDY):
                group = zarr.open_group(self.path, mode="r")
                variables = _array(group, "variable").shape[0]
        except FileNotFoundError as error:  # what Zarr makes of metadata that it does not accept
            raise damaged(f"{self.path}/zarr.json", str(error), REMEDY) from error
        if len(self.statistics.mean) != variables:
            raise damaged(self.path, "its statistics are not one for each variable", REMEDY)
        return group

    @cached_property
    def _array(self) -> zarr.Array[Any]:
        return _array(self._group, "fields")

    def _coordinate(self, name: str) -> NDArray[Any]:
        array = _array(self._group, name)
        with decoding(f"{self.path}/{name}", REMEDY):
            return np.asarray(array[:])

    def _axis(self, name: str) -> NDArray[np.float64]:
        values = self._coordinate(name)
        if not np.isfinite(values).all() or np.any(np.diff(values) <= 0):
            raise damaged(f"{self.path}/{name}", "its degrees do not ascend", REMEDY)
        return values


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array
