"""Making a store's files: template, shards, and the record that it is complete, in this order.

Whatever is interrupted leaves a store that does not open, and can be continued.
"""

import json
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from fsspec.implementations.local import LocalFileSystem
from numpy.typing import NDArray

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.paths import open_filesystem
from sparta_ray.data.retry import reached
from sparta_ray.data.store.layout import StoreLayout
from sparta_ray.data.store.lock import LOCK
from sparta_ray.data.store.metadata import COORDINATES, META
from sparta_ray.data.store.readers import Fields
from sparta_ray.data.store.statistics import Statistics
from sparta_ray.data.store.store import EPOCH, read_meta


def check_path_free(path: str) -> None:
    """Refuse a place where something lies that no preparation has begun.

    Raises:
        ConfigError: Something else is there; it is left as it is.
    """
    filesystem, root = open_filesystem(path)
    if not filesystem.exists(root):
        return
    names = [Path(name).name for name in filesystem.ls(root, detail=False)]
    if any(name != LOCK and not name.endswith(".partial") for name in names):
        raise ConfigError(f"{path} holds something other than a store; choose another")


def check_disk_space(path: str, size: float) -> None:
    """Refuse to begin on a local disk that cannot hold `size` more bytes.

    Raises:
        ConfigError: Names both sizes.
    """
    filesystem, root = open_filesystem(path)
    if not isinstance(filesystem, LocalFileSystem):
        return
    existing = next(folder for folder in (Path(root), *Path(root).parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if free < size:
        raise ConfigError(
            f"the store {path} needs {size / 1e6:,.0f} MB more, but its disk has "
            f"{free / 1e6:,.0f} MB left; make room, or set data.store to another disk"
        )


def write_template(path: str, layout: StoreLayout, fields: bool = True) -> None:
    """Create the store's metadata and coordinates; its fields are filled shard by shard.

    Args:
        path: Where.
        layout: What it will hold.
        fields: Whether it will hold fields; a store to stream from does not.

    Raises:
        ConfigError: Something else is there, or it cannot be written.
    """
    check_path_free(path)
    attributes = {META: {"complete": False, "provenance": layout.provenance}}
    with writing(path):
        _write_arrays(zarr.create_group(path, zarr_format=3, attributes=attributes), layout, fields)


def rewrite_template(path: str, layout: StoreLayout, fields: bool = True) -> None:
    """Write again the arrays of a store of which no shard was finished."""
    filesystem, root = open_filesystem(path)
    with writing(path):
        for name in (*COORDINATES, "fields"):
            if filesystem.exists(f"{root}/{name}"):
                filesystem.rm(f"{root}/{name}", recursive=True)
        group = zarr.open_group(path, mode="r+", use_consolidated=False)
        _write_arrays(group, layout, fields)


def clear_partials(path: str) -> None:
    """Remove what killed writers left of files; only with the store's lock held."""
    filesystem, root = open_filesystem(path)
    if isinstance(filesystem, LocalFileSystem):  # others show a file when it is whole
        for partial in Path(root).rglob("*.partial"):
            partial.unlink()


def _write_arrays(root: zarr.Group, layout: StoreLayout, fields: bool) -> None:
    in_days = layout.days.dtype == np.dtype("datetime64[D]")
    time = (layout.days - EPOCH).astype(np.int64)
    since = f"{'days' if in_days else 'hours'} since {EPOCH}"
    coordinates: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
        "time": (time, {"units": since, "calendar": "proleptic_gregorian"}),
        "variable": (
            np.array(layout.variables, dtype=np.dtypes.StringDType()),
            {"channel_units": list(layout.units)},
        ),
        "longitude": (layout.longitude, {"units": "degrees_east", "standard_name": "longitude"}),
        "latitude": (layout.latitude, {"units": "degrees_north", "standard_name": "latitude"}),
    }
    assert tuple(coordinates) == COORDINATES
    for name, (values, attributes) in coordinates.items():
        root.create_array(name, data=values, dimension_names=[name], attributes=attributes)
    if not fields:
        return
    root.create_array(
        "fields",
        shape=layout.shape,
        dtype="float32",
        chunks=(1, *layout.shape[1:]),
        shards=(layout.shard_steps, *layout.shape[1:]),
        compressors=None,
        filters=None,
        fill_value=float("nan"),
        config={"write_empty_chunks": True},
        dimension_names=COORDINATES,
        attributes={"cell_methods": "time: mean", "units": ", ".join(layout.units)},
    )


def write_shard(path: str, start: int, fields_TVXY: Fields) -> None:
    """Write one whole shard; `start` is its first step."""
    with writing(path):
        array = zarr.open_array(path, path="fields", mode="r+")
        array[start : start + len(fields_TVXY)] = fields_TVXY


def mark_complete(path: str, statistics: Statistics, training_days: int, fingerprint: str) -> None:
    """Record statistics and fingerprint, in one write; only now can the store be opened."""
    with writing(path), warnings.catch_warnings():
        # Consolidated metadata is newer than the Zarr 3 specification, yet xarray looks for it
        # first; markers of finished shards are no part of the hierarchy, and need not be.
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        zarr.consolidate_metadata(path)
    record = {
        "complete": True,
        "training_days": training_days,
        "statistics": statistics.to_json(),
        "fingerprint": fingerprint,
    }
    _update(path, record)


def record_recipe(path: str, recipe: dict[str, Any]) -> None:
    """Record settings that were changed and do not change what the store holds."""
    meta = read_meta(path)
    assert meta is not None
    _update(path, {"provenance": meta["provenance"] | {"recipe": recipe}})


def _update(path: str, record: dict[str, Any]) -> None:
    """Change entries of the store's own record, all at once."""
    filesystem, root = open_filesystem(path)
    document = json.loads(filesystem.cat_file(f"{root}/zarr.json"))
    document["attributes"][META] |= record
    arrays = document["consolidated_metadata"]["metadata"]  # in the order of their creation, or not
    document["consolidated_metadata"]["metadata"] = dict(sorted(arrays.items()))
    write_file(path, "zarr.json", json.dumps(document, indent=2))


def write_file(path: str, name: str, text: str) -> None:
    """Write one whole file of a store; a reader sees all of it or the one before."""
    filesystem, root = open_filesystem(path)
    with writing(path):
        if not isinstance(filesystem, LocalFileSystem):
            filesystem.pipe_file(f"{root}/{name}", text.encode())
            return
        file = Path(root) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f"{file.name}.partial")
        partial.write_text(text)
        partial.replace(file)


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Turn a full disk and the like into one error.

    Raises:
        ConfigError: Names the cause, and that the preparation continues.
    """
    try:
        with reached(path):
            yield
    except OSError as error:
        raise ConfigError(
            f"cannot write to the store {path}: {error.strerror or error}; mend that, and the same "
            "command continues"
        ) from error
