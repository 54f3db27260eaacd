"""The paper's claims, and questions of our own, read from ``published/claims.yaml``.

The file holds each statement and names the scores that decide it; here they are put to a study.
"""

import functools
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from typing import Literal

from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT, load
from sparta_ray.base.durations import StepLength
from sparta_ray.figures.display import PUBLISHED_NAMES, in_sentence, setting_name
from sparta_ray.metrics.metric import Better
from sparta_ray.report.paper_tables import LEADS, SETTINGS
from sparta_ray.report.study_scores import Question, StudyScores


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Claim:
    """A statement that one variant is better than another, or as good.

    Attributes:
        statement: What is claimed; in the file it may have placeholders in braces.
        scores: The name of the scores that decide.
        source: Where the paper says it; empty for a question of our own.
        ours: The variant that is said to be better; filled in where the study names it.
        theirs: The variant or baseline that it is compared with; likewise.
        better: Which direction is better.
        margin: Set for a claim that the two are alike: the largest relative difference.
        setting: The only forecast setting of the scores; None leaves that to the scores.
        their_setting: The forecast setting of `theirs`, where it is a different one.
    """

    statement: str
    scores: str
    source: str = ""
    ours: str = ""
    theirs: str = ""
    better: Better = "lower"
    margin: float | None = None
    setting: str | None = None
    their_setting: str | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DecidingScores:
    """A group of scores that decides a claim.

    Attributes:
        task: Such as ``forecast``.
        metrics: Such as ``rrmse``.
        settings: Of forecasts. None is every published setting that was scored or, where there is
            none, every other one.
        leads: Of forecasts: the published lead times that were scored or, where there is none, the
            longest; or all that were scored.
    """

    task: str
    metrics: tuple[str, ...]
    settings: tuple[str, ...] | None = None
    leads: Literal["published", "all"] = "published"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ClaimFile:
    """The content of ``claims.yaml``; its comments say what each part is for."""

    scores: dict[str, DecidingScores]
    paper: tuple[Claim, ...]
    reference: str
    own_variants: tuple[Claim, ...]
    baselines: tuple[str, ...]
    beside_baselines: Claim
    own_setting_beside_baselines: Claim
    own_setting_beside_published: Claim


@functools.cache
def read_claims() -> ClaimFile:
    """Return the content of the package's file."""
    source = resources.files("sparta_ray.report") / "published" / "claims.yaml"
    with resources.as_file(source) as path:
        return load(ClaimFile, path)


def claims(scores: StudyScores) -> list[Claim]:
    """Return the paper's claims, then the questions about a study's own variants and forecasts."""
    file = read_claims()
    asked = (
        *file.paper,
        *_on_own_variants(file, scores),
        *_on_baselines(file, scores),
        *_on_own_settings(file, scores),
    )
    return [replace(claim, statement=_sentence(claim, scores.study.step)) for claim in asked]


def questions_of(claim: Claim, scores: StudyScores) -> list[Question]:
    """Return the questions on which a claim is decided, as far as a study can answer them."""
    group = read_claims().scores[claim.scores]
    if group.task != "forecast":
        return [Question(group.task, metric) for metric in group.metrics]
    settings = group.settings or _published_settings(scores) or scores.settings
    return [
        Question(group.task, metric, setting, lead)
        for metric in group.metrics
        for setting in ([claim.setting] if claim.setting is not None else settings)
        for lead in _leads(group, scores.leads(setting))
    ]


def _leads(group: DecidingScores, scored: list[int]) -> list[int]:
    if group.leads == "all":
        return scored
    return [lead for lead in scored if lead in LEADS] or scored[-1:]


def _published_settings(scores: StudyScores) -> list[str]:
    return [setting for setting in SETTINGS if scores.leads(setting)]


def _sentence(claim: Claim, step: StepLength) -> str:
    """Return a claim's statement with its placeholders filled in."""
    return claim.statement.format(
        ours=in_sentence(claim.ours),
        theirs=in_sentence(claim.theirs),
        setting=setting_name(claim.setting or "", step),
        their_setting=setting_name(claim.their_setting or "", step),
        margin=claim.margin,
    )


def _on_own_variants(file: ClaimFile, scores: StudyScores) -> Iterator[Claim]:
    """Yield whether each variant that the paper does not have beats the reference."""
    variants = list(dict.fromkeys(member.variant for member in scores.study.members))
    reference = file.reference if file.reference in variants else variants[0]
    for own in variants:
        if own not in PUBLISHED_NAMES and own != reference:
            for claim in file.own_variants:
                yield replace(claim, ours=own, theirs=reference)


def _on_baselines(file: ClaimFile, scores: StudyScores) -> Iterator[Claim]:
    for model in _models(scores):
        for baseline in file.baselines:
            yield replace(file.beside_baselines, ours=model, theirs=baseline)


def _on_own_settings(file: ClaimFile, scores: StudyScores) -> Iterator[Claim]:
    """Yield whether forecasts in settings of our own beat baselines and the published settings."""
    for setting in scores.settings:
        if setting in SETTINGS:
            continue
        baselines = replace(file.own_setting_beside_baselines, setting=setting)
        published = replace(file.own_setting_beside_published, setting=setting)
        for model in _models(scores):
            for baseline in file.baselines:
                yield replace(baselines, ours=model, theirs=baseline)
            for theirs in _published_settings(scores):
                yield replace(published, ours=model, theirs=model, their_setting=theirs)


def _models(scores: StudyScores) -> list[str]:
    """Return the names of a study's trained models."""
    members = map(scores.study.names, scores.study.members)
    return list(dict.fromkeys(name for names in members for name in names.values()))
