"""What an evaluation leaves for the report: scores, and the arrays behind its figures."""

import dataclasses
import json
from dataclasses import dataclass, field

import xarray as xr

from sparta_ray.config import to_tree
from sparta_ray.evaluation.config import EvaluationConfig
from sparta_ray.evaluation.score_record import Score
from sparta_ray.run_folder import RunFolder

_SCORES = "evaluation/scores.json"


@dataclass
class Results:
    """Scores, and arrays by name, such as ``map-forecast-sparta``."""

    scores: list[Score] = field(default_factory=list)
    arrays: dict[str, xr.DataArray] = field(default_factory=dict)


def save_results(folder: RunFolder, config: EvaluationConfig, results: Results) -> None:
    """Write results; the scores come last and make them count."""
    for name, array in results.arrays.items():
        content = array.to_dataset(name="values").to_netcdf(engine="h5netcdf")
        folder.write(f"evaluation/{name}.nc", bytes(content))
    record = {
        "config": to_tree(config),
        "arrays": list(results.arrays),
        "scores": [dataclasses.asdict(score) for score in results.scores],
    }
    folder.write(_SCORES, json.dumps(record, indent=1))


def is_evaluated(folder: RunFolder, config: EvaluationConfig) -> bool:
    """Return whether results of this very evaluation lie in the run folder."""
    if not folder.exists(_SCORES):
        return False
    return bool(json.loads(folder.read(_SCORES))["config"] == to_tree(config))


def load_results(folder: RunFolder) -> Results:
    """Read what `save_results` wrote."""
    record = json.loads(folder.read(_SCORES))
    arrays = {name: _read_array(folder, name) for name in record["arrays"]}
    return Results([Score(**score) for score in record["scores"]], arrays)


def _read_array(folder: RunFolder, name: str) -> xr.DataArray:
    content = folder.read_bytes(f"evaluation/{name}.nc")
    with xr.open_dataset(content, engine="h5netcdf") as dataset:
        return dataset["values"].load()
