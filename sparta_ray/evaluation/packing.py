"""Scores, their cases and arrays as the bytes and records that a run folder keeps of them."""

import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from sparta_ray.metrics.case_sums import CaseSums
from sparta_ray.metrics.records import Score, current_name


def score_of(record: Mapping[str, Any]) -> Score:
    """Return a recorded score; a name that earlier versions gave a model becomes its name now."""
    return Score(**{**record, "model": current_name(record["model"])})


def pack_cases(found: Sequence[CaseSums]) -> bytes:
    """Return the cases of scores as one compressed file of arrays, without pickled code."""
    names = [{"score": dataclasses.asdict(one.score), "form": one.form} for one in found]
    arrays = {"names": np.array(json.dumps(names))}
    for number, one in enumerate(found):
        arrays |= {f"days{number}": one.days, f"sums{number}": one.sums}
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def unpack_cases(content: bytes) -> list[CaseSums]:
    """Return what `pack_cases` packed."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return [
            CaseSums(
                score_of(names["score"]),
                names["form"],
                arrays[f"days{number}"],
                arrays[f"sums{number}"],
            )
            for number, names in enumerate(json.loads(str(arrays["names"])))
        ]


def pack_array(array: xr.DataArray) -> bytes:
    """Return a labelled array as a NetCDF file."""
    return bytes(array.to_dataset(name="values").to_netcdf(engine="h5netcdf"))


def unpack_array(content: bytes) -> xr.DataArray:
    """Return what `pack_array` packed."""
    with xr.open_dataset(content, engine="h5netcdf") as dataset:
        return dataset["values"].load()
