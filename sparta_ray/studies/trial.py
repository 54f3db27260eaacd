"""The trials of a study: each an ordinary run, and which of them share a training."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from sparta_ray.base.config import differences, from_tree, read_tree, to_tree, with_settings
from sparta_ray.base.errors import ConfigError
from sparta_ray.run.ownership import FREE_TO_CHANGE
from sparta_ray.run.settings import Run, with_absolute_paths
from sparta_ray.studies.config import Settings, StudyConfig, beside
from sparta_ray.studies.sweep import sweep_variants

_AFTER_TRAINING = ("name", "folder", "downstream", "evaluation")
"""Settings that trained models know nothing of."""

_WHICH_DATA = ("data.store", "data.source")
"""Free to change in a run folder, where a fingerprint guards them; here they tell data apart."""


@dataclass(frozen=True)
class StudyTrial:
    """A variant with a seed.

    Attributes:
        variant: Name of the variant.
        seed: The run's seed.
        settings: What the variant changes, by path.
        run: The run, in the study's folder.
        training: Key of its training; trials of one key have the same models.
        trained_by: Name of the trial that trains them.
    """

    variant: str
    seed: int
    settings: dict[str, Any]
    run: Run
    training: str
    trained_by: str

    @property
    def name(self) -> str:
        """Name of its run and run folder."""
        return self.run.name

    @property
    def trains(self) -> bool:
        """Whether it trains its models itself."""
        return self.trained_by == self.name

    def record(self) -> dict[str, Any]:
        """Return all but the run, which its own folder records."""
        return {"name": self.name} | {k: v for k, v in asdict(self).items() if k != "run"}


@contextmanager
def named(trial: StudyTrial) -> Iterator[None]:
    """Put the trial's name in front of what is wrong with it."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"trial {trial.name}: {error}") from error


def trials_of(study: StudyConfig, path: str) -> list[StudyTrial]:
    """Return every trial of a study, variant by variant.

    Args:
        study: The study.
        path: Of its file, beside which its run files lie.

    Raises:
        ConfigError: Names the variant, and what is wrong with it.
    """
    trials: list[StudyTrial] = []
    trainers: dict[str, str] = {}
    for variant, settings in _variants(study).items():
        tree = _tree(study, path, variant, settings)
        for seed in study.seeds_of.get(variant, study.seeds):
            name = f"{variant}-seed{seed}"
            tree |= {"folder": study.path, "name": name, "seed": seed}
            run = with_absolute_paths(from_tree(Run, tree, f"{path}: variant {variant!r}"))
            key = training_key(run)
            trainer = trainers.setdefault(key, name)
            shown = {} if isinstance(settings, str) else dict(settings)
            trials.append(StudyTrial(variant, seed, shown, run, key, trainer))
    _refuse_equal(trials, path)
    return trials


def _variants(study: StudyConfig) -> Mapping[str, str | Settings]:
    return study.variants if study.sweep is None else sweep_variants(study.sweep)


def _tree(study: StudyConfig, path: str, variant: str, settings: str | Settings) -> dict[str, Any]:
    """Return the config tree of a variant, before its seed."""
    base = settings if isinstance(settings, str) else study.base
    tree = {} if base is None else read_tree(beside(path, base))
    tree = with_settings(tree, study.common, f"{path}: common")
    own = {} if isinstance(settings, str) else settings
    return with_settings(tree, own, f"{path}: variant {variant!r}")


def _refuse_equal(trials: list[StudyTrial], path: str) -> None:
    """Refuse two variants that are the same run under two names."""
    seen: list[StudyTrial] = []
    for trial in trials:
        for other in seen:
            if replace(other.run, name=trial.name) == trial.run:
                raise ConfigError(
                    f"{path}: variants {other.variant!r} and {trial.variant!r} are the same run; "
                    "leave one out, or let them differ"
                )
        seen.append(trial)


def training_key(run: Run) -> str:
    """Return a key that runs share if, and only if, their training is the same.

    Example:
        Another look-back of the forecast leaves the key as it is; another learning rate does not.
    """
    without = _AFTER_TRAINING + tuple(path for path in FREE_TO_CHANGE if path not in _WHICH_DATA)
    settings = "\n".join(differences({}, to_tree(run), without))
    return hashlib.sha256(settings.encode()).hexdigest()[:12]
