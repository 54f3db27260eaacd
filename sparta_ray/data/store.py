"""The store: standardisable daily fields in Zarr, read through memory maps.

One uncompressed shard of one-day chunks is a plain array followed by its index, so a local store
is mapped instead of read: nodes share one copy in the page cache. Any other store, remote or
rewritten by the user, is read through Zarr.

Legend: T days, V variables, X longitudes, Y latitudes.
"""

import json
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import zarr
from numpy.typing import NDArray

from sparta_ray.config import ConfigError
from sparta_ray.data.statistics import Statistics

Fields = NDArray[np.float32]

SHARD_DAYS = 366
_META = "sparta"


@dataclass(frozen=True)
class StoreLayout:
    """What a store holds, known before its first value is written.

    Attributes:
        days: Calendar days, consecutive, shape (T,).
        variables: Labels of the channels.
        units: Units of each channel.
        longitude: Degrees east, ascending, shape (X,).
        latitude: Degrees north, ascending, shape (Y,).
        provenance: Where the data come from and how they were prepared; kept in the store.
    """

    days: NDArray[np.datetime64]
    variables: tuple[str, ...]
    units: tuple[str, ...]
    longitude: NDArray[np.float64]
    latitude: NDArray[np.float64]
    provenance: dict[str, Any]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, V, X, Y)."""
        return len(self.days), len(self.variables), len(self.longitude), len(self.latitude)

    @property
    def bytes(self) -> int:
        """Size of the fields in float32."""
        return int(np.prod(self.shape)) * 4

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-len(self.days) // SHARD_DAYS)

    def shard_days(self, shard: int) -> tuple[int, int]:
        """Return the first day of a shard and the one after its last."""
        return shard * SHARD_DAYS, min((shard + 1) * SHARD_DAYS, len(self.days))


def write_template(path: str, layout: StoreLayout) -> None:
    """Create the store's metadata and coordinates; its fields are filled shard by shard.

    Raises:
        ConfigError: Something else is there; it is left as it is.
    """
    filesystem, root = fsspec.core.url_to_fs(path)
    if filesystem.exists(root) and filesystem.ls(root):
        raise ConfigError(f"{path} holds something other than a store; choose another")
    attributes = {_META: {"complete": False, "provenance": layout.provenance}}
    _write_arrays(zarr.create_group(path, zarr_format=3, attributes=attributes), layout)


def has_template(path: str) -> bool:
    """Return whether a store's metadata are whole: its fields are created last."""
    return "fields" in zarr.open_group(path, mode="r")


def mend_template(path: str, layout: StoreLayout) -> None:
    """Write again the metadata of a store whose creation was interrupted."""
    root = zarr.open_group(path, mode="r+")
    for name in list(root.array_keys()):
        del root[name]
    _write_arrays(root, layout)


def _write_arrays(root: zarr.Group, layout: StoreLayout) -> None:
    time = (layout.days - np.datetime64("1900-01-01")).astype(np.int64)
    coordinates: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
        "time": (time, {"units": "days since 1900-01-01", "calendar": "proleptic_gregorian"}),
        "variable": (np.array(layout.variables, dtype=np.dtypes.StringDType()), {}),
        "longitude": (layout.longitude, {"units": "degrees_east", "standard_name": "longitude"}),
        "latitude": (layout.latitude, {"units": "degrees_north", "standard_name": "latitude"}),
    }
    for name, (values, attributes) in coordinates.items():
        root.create_array(name, data=values, dimension_names=[name], attributes=attributes)
    root.create_array(
        "fields",
        shape=layout.shape,
        dtype="float32",
        chunks=(1, *layout.shape[1:]),
        shards=(SHARD_DAYS, *layout.shape[1:]),
        compressors=None,
        filters=None,
        fill_value=float("nan"),
        config={"write_empty_chunks": True},
        dimension_names=["time", "variable", "longitude", "latitude"],
        attributes={"long_name": "daily mean", "units": ", ".join(layout.units)},
    )


def write_shard(path: str, start: int, fields_TVXY: Fields) -> None:
    """Write one whole shard; `start` is its first day."""
    array = _array(zarr.open_group(path, mode="r+"), "fields")
    array[start : start + len(fields_TVXY)] = fields_TVXY


def mark_complete(path: str, statistics: Statistics, training_days: int, fingerprint: str) -> None:
    """Record statistics and fingerprint; only now can the store be opened."""
    root = zarr.open_group(path, mode="r+")
    meta = dict(root.attrs[_META])  # type: ignore[arg-type]
    meta |= {
        "complete": True,
        "training_days": training_days,
        "statistics": statistics.to_json(),
        "fingerprint": fingerprint,
    }
    root.attrs[_META] = meta
    with warnings.catch_warnings():
        # Consolidated metadata is newer than the Zarr 3 specification, yet xarray looks for it
        # first; markers of finished shards are no part of the hierarchy, and need not be.
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        zarr.consolidate_metadata(path)


def read_meta(path: str) -> dict[str, Any] | None:
    """Return the store's own record, or None where there is no store."""
    filesystem, root = fsspec.core.url_to_fs(path)
    try:
        text = filesystem.cat_file(f"{root}/zarr.json")
    except FileNotFoundError:
        return None
    meta = json.loads(text).get("attributes", {}).get(_META)
    if meta is None:
        raise ConfigError(f"{path} is a Zarr store, but none that `prepare` wrote; choose another")
    return dict(meta)


class Store:
    """A complete store, opened for reading; cheap to open and to send to another process."""

    def __init__(self, path: str):
        """Open the store at `path`.

        Raises:
            ConfigError: There is none, or its preparation is not finished.
        """
        meta = read_meta(path)
        if meta is None:
            raise ConfigError(f"no store at {path}; run jobs/prepare_data.py first")
        if not meta["complete"]:
            raise ConfigError(
                f"the store at {path} is not complete; run jobs/prepare_data.py again to continue"
            )
        self.path = path
        self.provenance: dict[str, Any] = meta["provenance"]
        self.fingerprint: str = meta["fingerprint"]
        self.training_days: int = meta["training_days"]
        self.statistics = Statistics.from_json(meta["statistics"])

    def __reduce__(self) -> tuple[type["Store"], tuple[str]]:
        return Store, (self.path,)

    def __len__(self) -> int:
        return self._array.shape[0]

    @cached_property
    def days(self) -> NDArray[np.datetime64]:
        """Calendar days, shape (T,)."""
        offset = self._coordinate("time")
        return np.datetime64("1900-01-01") + offset.astype("timedelta64[D]")

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """Labels of the channels, in order."""
        return tuple(str(label) for label in self._coordinate("variable"))

    @cached_property
    def longitude(self) -> NDArray[np.float64]:
        """Degrees east, shape (X,)."""
        return self._coordinate("longitude")

    @cached_property
    def latitude(self) -> NDArray[np.float64]:
        """Degrees north, shape (Y,)."""
        return self._coordinate("latitude")

    @property
    def layout(self) -> StoreLayout:
        """What the store holds."""
        units = str(self._array.attrs["units"]).split(", ")
        return StoreLayout(
            self.days, self.variables, tuple(units), self.longitude, self.latitude, self.provenance
        )

    @property
    def grid(self) -> tuple[int, int]:
        """(X, Y)."""
        return self._array.shape[2], self._array.shape[3]

    def read(self, days: NDArray[np.int64]) -> Fields:
        """Return physical fields of any days, in the order asked, shape (n, V, X, Y)."""
        if self._maps is None:
            return np.asarray(self._array.oindex[days], dtype=np.float32)
        fields = np.empty((len(days), *self._array.shape[1:]), dtype=np.float32)
        for row, day in enumerate(days):
            shard, offset = divmod(int(day), SHARD_DAYS)
            fields[row] = self._maps[shard][offset]
        return fields

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
    def _group(self) -> zarr.Group:
        return zarr.open_group(self.path, mode="r")

    @cached_property
    def _array(self) -> zarr.Array[Any]:
        return _array(self._group, "fields")

    def _coordinate(self, name: str) -> NDArray[Any]:
        return np.asarray(_array(self._group, name)[:])

    @cached_property
    def _maps(self) -> list[Fields] | None:
        """Memory maps of all shards, or None if this store must be read through Zarr."""
        root = Path(self.path)
        if not root.is_dir() or self._array.shards != (SHARD_DAYS, *self._array.shape[1:]):
            return None
        shards = -(-len(self) // SHARD_DAYS)
        maps = [_map_shard(root, shard, self._array) for shard in range(shards)]
        return None if any(part is None for part in maps) else [m for m in maps if m is not None]


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array


def _map_shard(root: Path, shard: int, array: zarr.Array[Any]) -> Fields | None:
    """Map a shard's file if its index says that its days stand one after another."""
    if array.metadata.zarr_format != 3 or array.dtype != np.dtype("<f4"):
        return None
    file = root / "fields" / "c" / str(shard) / "0" / "0" / "0"
    days = min(SHARD_DAYS, array.shape[0] - shard * SHARD_DAYS)
    day_bytes = int(np.prod(array.shape[1:])) * 4
    index_bytes = SHARD_DAYS * 16 + 4  # offset and length of each chunk, then a checksum
    with file.open("rb") as stream:
        stream.seek(-index_bytes, 2)
        index = np.frombuffer(stream.read(index_bytes - 4), dtype="<u8").reshape(-1, 2)[:days]
    in_order = index[:, 0] == np.arange(days) * day_bytes
    if not (in_order & (index[:, 1] == day_bytes)).all():
        return None
    return np.memmap(file, dtype="<f4", mode="r", shape=(days, *array.shape[1:]))
