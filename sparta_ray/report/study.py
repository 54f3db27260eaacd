"""The runs of one report: which variant each is, and their results together."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from sparta_ray.base.config import differences, from_tree, to_tree
from sparta_ray.base.durations import StepLength
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.evaluation.published_results import published_variant
from sparta_ray.evaluation.results import Results, load_results
from sparta_ray.figures.display import PUBLISHED_NAMES
from sparta_ray.metrics.records import Score, bound_of
from sparta_ray.run.data_record import DataRecord, data_of
from sparta_ray.run.ownership import read_run_record
from sparta_ray.run.settings import Run
from sparta_ray.run.study_record import STUDY_FILE, TrialRecord, read_study_record

_SAME_VARIANT = ("name", "folder", "seed", "scaling", "evaluation", "data.store", "data.source")
"""Settings that may differ between runs of one variant."""

_MAY_DIFFER = ("report_leads",)
"""Settings of the evaluation that only decide which scores are shown."""


@dataclass(frozen=True)
class Member:
    """One evaluated run.

    Attributes:
        variant: The name of its contrastive model, or of its only model.
        run: Its settings.
        folder: Its run folder.
        fingerprint: Of its data.
        results: Its evaluation.
    """

    variant: str
    run: Run
    folder: RunFolder
    fingerprint: str
    results: Results

    @cached_property
    def data(self) -> DataRecord:
        """What is recorded of its data."""
        return data_of(self.folder, self.run.data.store)


@dataclass(frozen=True)
class Study:
    """Runs of one report.

    Attributes:
        name: Of the study, or of the only run.
        path: Where the report goes.
        members: The evaluated runs.
        empty: By variant, why it has no evaluated run.
        lost: By trial, why it has no scores although others of its variant have.
    """

    name: str
    path: str
    members: tuple[Member, ...]
    empty: dict[str, str]
    lost: dict[str, str] = field(default_factory=dict)

    @property
    def step(self) -> StepLength:
        """How long a step is; runs on the same data have the same."""
        return self.members[0].run.data.length

    @cached_property
    def results(self) -> Results:
        """All members' results, models named by variant; baselines once."""
        total, seen = Results(), set[tuple[object, ...]]()
        for member in self.members:
            names = self.names(member)
            own = member.results
            renamed = {_key(s): _renamed(s, names, member.run.name) for s in own.scores}
            new = {key: s for key, s in renamed.items() if s.run or key not in seen}
            seen.update(new)
            total.scores.extend(new.values())
            windows = [w for w in own.windows if _key(w.score) in new]
            total.windows.extend(replace(w, score=new[_key(w.score)]) for w in windows)
            total.absent.extend(replace(a, model=names.get(a.model, a.model)) for a in own.absent)
            total.costs.update({names[model]: cost for model, cost in own.costs.items()})
        return total

    def names(self, member: Member) -> dict[str, str]:
        """Return the names of a member's models in this study, by kind."""
        return {
            kind: member.variant if kind == "sparta" else self._autoencoder_of(member)
            for kind in member.run.models
        }

    def _autoencoder_of(self, member: Member) -> str:
        """Return an autoencoder's name; the one to compare with the paper's has no suffix."""
        if member.run.models == ("autoencoder",):
            return member.variant
        owners = [m.variant for m in self.members if "autoencoder" in m.run.models]
        preferred = [v for v in ("autoencoder", "sparta_early_hn_cycle") if v in owners]
        if member.variant == [*preferred, *owners][0]:
            return "autoencoder"
        return f"autoencoder ({member.variant})"


def read_study(paths: Sequence[str]) -> Study:
    """Read run folders, or the folder of a study, for one report.

    Raises:
        ConfigError: There is no evaluated run, or the runs differ in data or splits.
    """
    if len(paths) == 1 and RunFolder(paths[0]).exists(STUDY_FILE):
        return _of_trials(paths[0])
    runs = [_read_run(RunFolder(path.rstrip("/"))) for path in paths]
    for run, folder, _ in runs:
        if not folder.exists("evaluation/scores.json"):
            raise ConfigError(f"{run.path} is not evaluated; run jobs/evaluate.py first")
    variants = _variants([run for run, _, _ in runs])
    members = [
        Member(variant, run, folder, fingerprint, load_results(folder))
        for variant, (run, folder, fingerprint) in zip(variants, runs, strict=True)
    ]
    name = " + ".join(run.name for run, _, _ in runs)
    return _checked(Study(name, runs[-1][1].url, tuple(members), {}))


def _of_trials(path: str) -> Study:
    study = RunFolder(path.rstrip("/"))
    record = read_study_record(study)
    members: list[Member] = []
    without: dict[str, tuple[str, str]] = {}
    for trial in record["trials"]:
        variant = variant_name(trial["variant"])
        folder = RunFolder(study.child(trial["name"]))
        if not folder.exists("evaluation/scores.json"):
            without[trial["name"]] = variant, _why_empty(study, folder, trial)
            continue
        run, _, fingerprint = _read_run(folder)
        members.append(Member(variant, run, folder, fingerprint, load_results(folder)))
    for member in members:
        _check_name(member)
    found = {member.variant for member in members}
    empty = {variant: why for variant, why in without.values() if variant not in found}
    lost = {trial: why for trial, (variant, why) in without.items() if variant in found}
    name = study.url.rpartition("/")[2]
    return _checked(Study(name, study.url, tuple(members), empty, lost))


def variant_name(variant: str) -> str:
    """Return a variant's name in the published tables, or its own name if it has none there.

    ``early-hn-cycle`` and ``sparta_early_hn_cycle`` are the same.
    """
    plain = variant.replace("-", "_")
    plain = {"supervised": "supcon"}.get(plain, plain)
    for name in (plain, f"sparta_{plain}"):
        if name in PUBLISHED_NAMES:
            return name
    return variant


def _why_empty(study: RunFolder, folder: RunFolder, trial: TrialRecord) -> str:
    """Return why a trial has no scores."""
    errors = f"errors/{trial['name']}.txt"
    if study.exists(errors):
        return f"failed: {study.read(errors).strip().splitlines()[-1]}"
    if not folder.exists("run.yaml"):
        return "not started"
    if not folder.exists("models"):
        return "started, but no checkpoint was finished"
    return "trained, not evaluated"


def _read_run(folder: RunFolder) -> tuple[Run, RunFolder, str]:
    """Return the run of a folder, which may have been moved, and its data's fingerprint."""
    if not folder.exists("run.yaml"):
        raise ConfigError(f"{folder.path} is not a run folder: it has no run.yaml")
    record = read_run_record(folder)
    run = from_tree(Run, record["config"], f"{folder.path}/run.yaml")
    parent, _, name = folder.url.rpartition("/")
    return replace(run, folder=parent, name=name), folder, record["data_fingerprint"]


def _variants(runs: Sequence[Run]) -> list[str]:
    """Return each run's variant: the paper's name, or the run's own if that is ambiguous."""
    groups: list[list[Run]] = []
    for run in runs:
        same = [group for group in groups if not _unlike(group[0], run)]
        same[0].append(run) if same else groups.append([run])
    named = [published_variant(group[0], group[0].models[0]) for group in groups]
    found = {}
    for name, group in zip(named, groups, strict=True):
        unique = name is not None and named.count(name) == 1
        for run in group:
            found[run.path] = name if name is not None and unique else group[0].name
    return [found[run.path] for run in runs]


def _unlike(first: Run, second: Run) -> list[str]:
    """Return the settings that make two runs different variants."""
    return differences(to_tree(first), to_tree(second), _SAME_VARIANT)


def _check_name(member: Member) -> None:
    """Refuse a variant whose settings contradict its published name."""
    kind = "autoencoder" if member.variant == "autoencoder" else member.run.models[0]
    if member.variant in PUBLISHED_NAMES:
        found = published_variant(member.run, kind)
        if found != member.variant:
            raise ConfigError(
                f"{member.run.path} is called {member.variant}, but its settings are those of "
                f"{found or 'no published variant'}; rename the variant in {STUDY_FILE}"
            )


def _checked(study: Study) -> Study:
    """Refuse a study without runs, or with runs whose data, splits or windows differ."""
    if not study.members:
        why = "; ".join(f"{variant}: {reason}" for variant, reason in study.empty.items())
        raise ConfigError(f"{study.path} has no evaluated run ({why}); evaluate one first")
    first = study.members[0]
    for other in study.members[1:]:
        pairs = {
            "data fingerprint": (first.fingerprint, other.fingerprint),
            "data.split": (first.run.data.split, other.run.data.split),
            "downstream.split": (first.run.downstream.split, other.run.downstream.split),
            **{
                f"evaluation.{name}": (value, getattr(other.run.evaluation, name))
                for name, value in vars(first.run.evaluation).items()
                if name not in _MAY_DIFFER
            },
        }
        for what, (ours, theirs) in pairs.items():
            if ours != theirs:
                raise ConfigError(
                    f"{first.run.path} and {other.run.path} cannot be in one report: {what} is "
                    f"{ours} and {theirs}; report them separately"
                )
    return study


def _renamed(score: Score, names: dict[str, str], run: str) -> Score:
    """Return a score with its variant's name; a baseline keeps its name and belongs to no run."""
    for kind, variant in names.items():
        if score.model in (kind, bound_of(kind)) or score.model.startswith(f"{kind} after "):
            return replace(score, model=score.model.replace(kind, variant), run=run)
    return score


def _key(score: Score) -> tuple[object, ...]:
    place = (score.task, score.model, score.metric, score.setting, score.seed)
    return (*place, score.lead_days, score.variable)
