"""Scores, their cases and arrays as the bytes and records that a run folder keeps of them."""

import dataclasses
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from typing_extensions import TypedDict

from sparta_ray.base.records import decode_json, decoding
from sparta_ray.metrics.case_sums import CaseSums
from sparta_ray.metrics.catalogue import rule_of
from sparta_ray.metrics.records import Score, current_name

REMEDY = "delete the folder evaluation beside it, and run jobs/evaluate.py again"
"""What helps where a file of an evaluation is damaged."""


def score_of(record: Mapping[str, Any]) -> Score:
    """Return a recorded score; a name that earlier versions gave a model becomes its name now."""
    return Score(**{**record, "model": current_name(record["model"])})


def scores_of(records: Iterable[Mapping[str, Any]], origin: str) -> list[Score]:
    """Return recorded scores.

    Args:
        records: The scores.
        origin: Path of the file, for errors.

    Raises:
        ConfigError: One lacks a value or has another type.
    """
    with decoding(origin, REMEDY):
        scores = [score_of(record) for record in records]
        tree = json.dumps([dataclasses.asdict(score) for score in scores])
    return decode_json(tree, list[Score], origin, REMEDY)


class _Names(TypedDict):
    """What a file of cases says of one score."""

    score: dict[str, Any]
    form: str


def pack_cases(found: Sequence[CaseSums]) -> bytes:
    """Return the cases of scores as one compressed file of arrays, without pickled code."""
    names = [{"score": dataclasses.asdict(one.score), "form": one.form} for one in found]
    arrays = {"names": np.array(json.dumps(names))}
    for number, one in enumerate(found):
        arrays |= {f"days{number}": one.days, f"sums{number}": one.sums}
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def unpack_cases(content: bytes, origin: str) -> list[CaseSums]:
    """Return what `pack_cases` packed.

    Args:
        content: The file.
        origin: Its path, for errors.

    Raises:
        ConfigError: It is damaged.
    """
    with decoding(origin, REMEDY), np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        names = decode_json(str(arrays["names"]), list[_Names], origin, REMEDY)
        scores = scores_of((one["score"] for one in names), origin)
        return [
            _cases(score, one["form"], arrays[f"days{number}"], arrays[f"sums{number}"])
            for number, (score, one) in enumerate(zip(scores, names, strict=True))
        ]


def _cases(score: Score, form: str, days: NDArray[Any], sums: NDArray[Any]) -> CaseSums:
    """Return a score with its cases, whose arrays fit each other and its rule."""
    rule_of(form)  # an unknown one is an error
    numbers = all(array.dtype.kind in "fiu" for array in (days, sums))
    if not numbers or sums.ndim != 2 or days.shape != sums.shape[1:]:
        raise ValueError(f"the cases of {score.metric} have shapes {days.shape} and {sums.shape}")
    return CaseSums(score, form, days, sums)


def pack_array(array: xr.DataArray) -> bytes:
    """Return a labelled array as a NetCDF file."""
    return bytes(array.to_dataset(name="values").to_netcdf(engine="h5netcdf"))


def unpack_array(content: bytes, origin: str) -> xr.DataArray:
    """Return what `pack_array` packed.

    Args:
        content: The file.
        origin: Its path, for errors.

    Raises:
        ConfigError: It is damaged.
    """
    with decoding(origin, REMEDY), xr.open_dataset(content, engine="h5netcdf") as dataset:
        return dataset["values"].load()
