"""A study: which variants of a run are compared, and with which seeds."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator
from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT, load
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.paths import output_path
from sparta_ray.studies.sweep import SweepConfig

Settings = dict[str, Any]
"""Settings of a run, nested as in its file, or by path: ``model.width: 0.5``."""

Link = Literal["train", "downstream", "evaluate", "report"]


def _check_seeds(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError("name no seed twice, and none below 0")
    return seeds


Seeds = Annotated[tuple[int, ...], Field(min_length=1), AfterValidator(_check_seeds)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ExpectedData:
    """Properties of the data, for an estimate where the source cannot be reached.

    Attributes:
        first_day: The first day, such as ``1959-01-01``.
        days: Number of steps [steps of data.step].
        grid: Number of longitudes and of latitudes.
    """

    first_day: str
    days: int = Field(ge=1)
    grid: tuple[int, int]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StudyConfig:
    """What a study's file holds. Each trial, a variant with a seed, is an ordinary run.

    Attributes:
        name: Name of the study, and of the folder with its trials' run folders.
        folder: Where study folders are kept: a path or an fsspec URL.
        base: The run file that variants change, relative to the study file; None for the defaults.
        common: Settings over the base that all variants share.
        seeds: Every variant is trained once with each of these values of the run's `seed`.
        seeds_of: Other seeds for some variants, by the variant's name, such as fewer for costly
            ones.
        variants: Variants by name: each holds settings over `base` and `common`, or names a run
            file to use in place of the base.
        sweep: A search space that generates the variants instead.
        until: The last link of the chain to do.
        expects: The data that ``--dry-run`` assumes where the source cannot be reached.
    """

    name: str = "study"
    folder: str = "runs"
    base: str | None = None
    common: Settings = Field(default_factory=dict)
    seeds: Seeds = (0,)
    seeds_of: dict[str, Seeds] = Field(default_factory=dict)
    variants: dict[str, str | Settings] = Field(default_factory=dict)
    sweep: SweepConfig | None = None
    until: Link = "report"
    expects: ExpectedData | None = None

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        return _folder_name(name)

    @field_validator("variants")
    @classmethod
    def _check_variants(cls, variants: dict[str, Any]) -> dict[str, Any]:
        for name in variants:
            _folder_name(name)
        return variants

    @property
    def path(self) -> str:
        """The study folder."""
        return f"{self.folder.rstrip('/')}/{self.name}"


def _folder_name(name: str) -> str:
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(
            f"{name!r}: use letters, digits, '.', '_' and '-', not '.' or '-' first: it names a "
            "folder"
        )
    return name


def load_study(path: str, overrides: tuple[str, ...] = ()) -> StudyConfig:
    """Read a study file; its folder is absolute then.

    Raises:
        ConfigError: It is no study, or names neither variants nor a sweep, or both.
    """
    study = load(StudyConfig, path, overrides)
    if bool(study.variants) == (study.sweep is not None):
        raise ConfigError(
            f"{path}: a study needs either `variants` or a `sweep`"
            + (", not both" if study.variants else "; a run's file is for jobs/train_sparta.py")
        )
    if unknown := [name for name in study.seeds_of if name not in study.variants]:
        raise ConfigError(
            f"{path}: seeds_of names {unknown[0]!r}, which is none of the variants "
            f"{list(study.variants)}"
        )
    return replace(study, folder=output_path(study.folder))


def beside(path: str, name: str) -> Path:
    """Return the file `name`, relative to the study file `path`."""
    return Path(path).parent / name
