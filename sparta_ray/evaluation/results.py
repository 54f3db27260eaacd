"""What an evaluation leaves in the run folder for the report: part by part, and as a whole.

Each part has a folder of its own, ``evaluation/parts/<name>``, whose ``scores.json`` is written
last and makes it count. ``evaluation/scores.json`` has the scores of all parts and names the parts,
which hold the rest. Run folders evaluated by earlier versions have no parts: all of it lies in
``evaluation``.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, NotRequired, TypeVar

import xarray as xr
from pydantic import Field
from typing_extensions import TypedDict

from sparta_ray.base.config import to_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.evaluation.packing import (
    REMEDY,
    pack_array,
    pack_cases,
    scores_of,
    unpack_array,
    unpack_cases,
)
from sparta_ray.metrics.case_sums import CaseSums
from sparta_ray.metrics.config import EvaluationConfig
from sparta_ray.metrics.records import Absent, Score
from sparta_ray.run.cost import Cost

_SCORES = "evaluation/scores.json"

Content = TypeVar("Content")

_Name = Annotated[str, Field(pattern=r"^[^/\\]+$")]
"""Names a file or folder beside the record, never one elsewhere."""

Inputs = Mapping[str, Any]
"""What the results of a part follow from, as a record of JSON."""


@dataclass
class Results:
    """All that an evaluation, or a part of one, found.

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


def save_part(folder: RunFolder, part: str, inputs: Inputs, results: Results) -> None:
    """Write the results of a part; its scores come last and make it count.

    Args:
        folder: The run folder.
        part: Name of the part.
        inputs: What the results follow from; once that has changed, they are out of date.
        results: Of the part.
    """
    _write_arrays(folder, _place(part), results)
    record = {"inputs": inputs, "arrays": list(results.arrays), **_scores_record(results)}
    folder.write(f"{_place(part)}/scores.json", json.dumps(record, indent=1))
    folder.remove_if_there(_error_file(part))


def keep_error(folder: RunFolder, part: str, trace: str) -> None:
    """Keep why a part failed, until it is saved."""
    folder.write(_error_file(part), trace)


def is_saved(folder: RunFolder, part: str, inputs: Inputs) -> bool:
    """Return whether results of a part are there, and follow from the same inputs."""
    if not folder.exists(f"{_place(part)}/scores.json"):
        return False
    return _part(folder, part)["inputs"] == dict(inputs)


def load_scores(folder: RunFolder, part: str) -> Results:
    """Read the scores of a part, without its arrays and windows."""
    return _scores_of(_part(folder, part), folder.child(_place(part), "scores.json"))


def save_results(
    folder: RunFolder,
    config: EvaluationConfig,
    results: Results,
    parts: Mapping[str, Inputs] | None = None,
) -> None:
    """Write the results of a whole evaluation; the scores come last and make them count.

    Args:
        folder: The run folder.
        config: Of the evaluation.
        results: Of all parts together.
        parts: Names and inputs of the saved parts, which hold the arrays and windows; without any,
            these are written too.
    """
    record: dict[str, Any] = {"config": to_tree(config)}
    if parts:
        record["parts"] = _digests(parts)
    else:
        _write_arrays(folder, "evaluation", results)
        record["arrays"] = list(results.arrays)
    folder.write(_SCORES, json.dumps(record | _scores_record(results), indent=1))


def is_evaluated(folder: RunFolder, config: EvaluationConfig) -> bool:
    """Return whether results of this very evaluation lie in the run folder."""
    record = _whole(folder)
    return record is not None and "costs" in record and record["config"] == to_tree(config)


def is_up_to_date(folder: RunFolder, config: EvaluationConfig, parts: Mapping[str, Inputs]) -> bool:
    """Return whether results of this very evaluation follow from these inputs of its parts.

    Results without parts, which earlier versions left, are taken as they are.
    """
    record = _whole(folder)
    if record is None or not is_evaluated(folder, config):
        return False
    return "parts" not in record or record["parts"] == _digests(parts)


def _digests(parts: Mapping[str, Inputs]) -> dict[str, str]:
    texts = {part: json.dumps(inputs, sort_keys=True) for part, inputs in parts.items()}
    return {part: hashlib.sha256(text.encode()).hexdigest()[:16] for part, text in texts.items()}


def load_results(folder: RunFolder) -> Results:
    """Read the results of a whole evaluation, with parts or without.

    Raises:
        ConfigError: A version of this code that kept no windows evaluated the run.
    """
    record = _whole(folder)
    assert record is not None, "ask first whether the run is evaluated"
    if "costs" not in record:
        raise ConfigError(
            f"{folder.path} was evaluated by an earlier version, which kept no windows; delete its "
            "folder evaluation and run jobs/evaluate.py again"
        )
    results = _scores_of(record, folder.child(_SCORES))
    if "parts" not in record:
        results.extend(_read_arrays(folder, "evaluation", record.get("arrays", [])))
    for part in record.get("parts", []):
        results.extend(_read_arrays(folder, _place(part), _part(folder, part)["arrays"]))
    return results


def load_whole_scores(folder: RunFolder) -> list[Score]:
    """Read the scores of a whole evaluation, of this version or an earlier one.

    Raises:
        ConfigError: They are missing or damaged.
    """
    record = folder.read_record(_SCORES, _OnlyScores, REMEDY)
    return scores_of(record["scores"], folder.child(_SCORES))


class _OnlyScores(TypedDict):
    scores: list[dict[str, Any]]


class _Scores(_OnlyScores):
    absent: NotRequired[list[Absent]]
    costs: NotRequired[dict[str, Cost]]


class _PartRecord(_Scores):
    inputs: dict[str, Any]
    arrays: list[_Name]


class _Record(_Scores):
    config: dict[str, Any]
    arrays: NotRequired[list[_Name]]
    parts: NotRequired[dict[_Name, str]]


def _whole(folder: RunFolder) -> _Record | None:
    return folder.read_record(_SCORES, _Record, REMEDY) if folder.exists(_SCORES) else None


def _part(folder: RunFolder, part: str) -> _PartRecord:
    return folder.read_record(f"{_place(part)}/scores.json", _PartRecord, REMEDY)


def _place(part: str) -> str:
    return f"evaluation/parts/{part}"


def _error_file(part: str) -> str:
    return f"{_place(part)}-error.txt"


def _write_arrays(folder: RunFolder, place: str, results: Results) -> None:
    for name, array in results.arrays.items():
        folder.write(f"{place}/{name}.nc", pack_array(array))
    folder.write(f"{place}/windows.npz", pack_cases(results.windows))


def _read_arrays(folder: RunFolder, place: str, names: Iterable[str]) -> Results:
    def read(name: str, unpack: Callable[[bytes, str], Content]) -> Content:
        return unpack(folder.read_bytes(f"{place}/{name}"), folder.child(place, name))

    return Results(
        arrays={name: read(f"{name}.nc", unpack_array) for name in names},
        windows=read("windows.npz", unpack_cases),
    )


def _scores_record(results: Results) -> dict[str, Any]:
    return {
        "scores": [dataclasses.asdict(score) for score in results.scores],
        "absent": [dataclasses.asdict(absent) for absent in results.absent],
        "costs": {model: dataclasses.asdict(cost) for model, cost in results.costs.items()},
    }


def _scores_of(record: _Scores, origin: str) -> Results:
    return Results(
        scores=scores_of(record["scores"], origin),
        absent=record.get("absent", []),
        costs=record.get("costs", {}),
    )
