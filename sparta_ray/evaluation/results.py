"""What an evaluation leaves for the report: scores, their windows, and arrays behind figures."""

import dataclasses
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from sparta_ray.base.config import to_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.metrics.case_sums import CaseSums
from sparta_ray.metrics.config import EvaluationConfig
from sparta_ray.metrics.records import Absent, Score
from sparta_ray.run.cost import Cost

_SCORES = "evaluation/scores.json"
_WINDOWS = "evaluation/windows.npz"


@dataclass
class Results:
    """All that an evaluation found.

    Attributes:
        scores: Every score.
        arrays: What figures are drawn from, by name, such as ``map-forecast-sparta``.
        windows: The sums of those scores that can be taken apart by window.
        absent: Scores that could not be given, and why.
        costs: What each model took to train.
    """

    scores: list[Score] = field(default_factory=list)
    arrays: dict[str, xr.DataArray] = field(default_factory=dict)
    windows: list[CaseSums] = field(default_factory=list)
    absent: list[Absent] = field(default_factory=list)
    costs: dict[str, Cost] = field(default_factory=dict)

    def add(self, found: Iterable[CaseSums | Score | Absent]) -> "Results":
        """Add scores, with their windows where they have them, and those that are absent."""
        for one in found:
            if isinstance(one, Absent):
                self.absent += [] if one in self.absent else [one]
                continue
            if isinstance(one, CaseSums):
                self.windows.append(one)
            self.scores.append(one.score if isinstance(one, CaseSums) else one)
        return self

    def extend(self, other: "Results") -> None:
        """Add all of another part's results."""
        self.scores.extend(other.scores)
        self.arrays.update(other.arrays)
        self.windows.extend(other.windows)
        self.absent.extend(one for one in other.absent if one not in self.absent)
        self.costs.update(other.costs)


def save_results(folder: RunFolder, config: EvaluationConfig, results: Results) -> None:
    """Write results; the scores come last and make them count."""
    for name, array in results.arrays.items():
        content = array.to_dataset(name="values").to_netcdf(engine="h5netcdf")
        folder.write(f"evaluation/{name}.nc", bytes(content))
    folder.write(_WINDOWS, _packed(results.windows))
    record = {
        "config": to_tree(config),
        "arrays": list(results.arrays),
        "scores": [dataclasses.asdict(score) for score in results.scores],
        "absent": [dataclasses.asdict(absent) for absent in results.absent],
        "costs": {model: dataclasses.asdict(cost) for model, cost in results.costs.items()},
    }
    folder.write(_SCORES, json.dumps(record, indent=1))


def is_evaluated(folder: RunFolder, config: EvaluationConfig) -> bool:
    """Return whether results of this very evaluation lie in the run folder."""
    if not folder.exists(_SCORES):
        return False
    record = json.loads(folder.read(_SCORES))
    return bool("costs" in record and record["config"] == to_tree(config))


def load_results(folder: RunFolder) -> Results:
    """Read what `save_results` wrote.

    Raises:
        ConfigError: An earlier version of this code evaluated the run.
    """
    record = json.loads(folder.read(_SCORES))
    if "costs" not in record:
        raise ConfigError(
            f"{folder.path} was evaluated by an earlier version, which kept no windows; delete its "
            "folder evaluation and run jobs/evaluate.py again"
        )
    return Results(
        [Score(**score) for score in record["scores"]],
        {name: _read_array(folder, name) for name in record["arrays"]},
        _unpacked(folder.read_bytes(_WINDOWS)),
        [Absent(**absent) for absent in record["absent"]],
        {model: Cost(**cost) for model, cost in record["costs"].items()},
    )


def _packed(windows: list[CaseSums]) -> bytes:
    """Return windows as one compressed file of arrays, without pickled code."""
    names = [{"score": dataclasses.asdict(found.score), "form": found.form} for found in windows]
    arrays = {"names": np.array(json.dumps(names))}
    for number, found in enumerate(windows):
        arrays |= {f"days{number}": found.days, f"sums{number}": found.sums}
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def _unpacked(content: bytes) -> list[CaseSums]:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return [
            CaseSums(
                Score(**names["score"]),
                names["form"],
                arrays[f"days{number}"],
                arrays[f"sums{number}"],
            )
            for number, names in enumerate(json.loads(str(arrays["names"])))
        ]


def _read_array(folder: RunFolder, name: str) -> xr.DataArray:
    content = folder.read_bytes(f"evaluation/{name}.nc")
    with xr.open_dataset(content, engine="h5netcdf") as dataset:
        return dataset["values"].load()
