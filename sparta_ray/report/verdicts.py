"""A verdict on every claim, reached by comparing a study's scores."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal, get_args

from sparta_ray.base.durations import StepLength
from sparta_ray.figures.display import setting_name
from sparta_ray.metrics.uncertainty import Comparison, Verdict
from sparta_ray.report.claims import Claim, claims, questions_of
from sparta_ray.report.study_scores import Question, StudyScores

Outcome = Literal["holds", "holds in part", "mixed", "not separable", "does not hold", "not tested"]


@dataclass(frozen=True)
class ClaimVerdict:
    """A claim and the verdict of a study on it.

    Attributes:
        claim: The claim.
        outcome: The verdict.
        comparisons: The scores that were compared: a description of each, and the result.
        explanation: The reason for the verdict, in a sentence.
    """

    claim: Claim
    outcome: Outcome
    comparisons: tuple[tuple[str, Comparison], ...]
    explanation: str


def all_verdicts(scores: StudyScores) -> list[ClaimVerdict]:
    """Return the verdict on every claim."""
    return [verdict_on(claim, scores) for claim in claims(scores)]


def verdict_on(claim: Claim, scores: StudyScores) -> ClaimVerdict:
    """Compare the two variants of a claim on every score that decides it.

    The claim holds if one variant is better than the other on every score, and in part if it is
    better on some and worse on none. It does not hold if it is worse on some and better on none. If
    it is better on some and worse on others, the verdict is mixed, and if it is neither better nor
    worse on any, the two are not separable. A claim that two variants are alike holds if they are.
    """
    found = [
        (
            _describe_question(question, scores.study.step),
            scores.compare(
                claim.ours, claim.theirs, question, claim.better, claim.margin, claim.their_setting
            ),
        )
        for question in questions_of(claim, scores)
    ]
    compared = [comparison for _, comparison in found if comparison.verdict != "not compared"]
    if not compared:
        why = found[0][1].reason if found else "no such forecast was scored"
        return ClaimVerdict(claim, "not tested", tuple(found), _sentence(why))
    counts = Counter(comparison.verdict for comparison in compared)
    outcome = _outcome(counts)
    explanation = _describe_counts(counts)
    reasons = {c.reason for c in compared if c.verdict == "not separable" and c.reason}
    if outcome == "not separable" and len(reasons) == 1:
        explanation += f" {_sentence(reasons.pop())}"
    if len(compared) < len(found):
        explanation += f" {len(found) - len(compared)} could not be compared."
    return ClaimVerdict(claim, outcome, tuple(found), explanation)


def _outcome(counts: Counter[Verdict]) -> Outcome:
    """Return the outcome of a claim from how often each verdict was reached."""
    confirmed = counts["better"] + counts["alike"]
    if counts["worse"] or counts["unlike"]:
        return "mixed" if confirmed else "does not hold"
    if confirmed == counts.total():
        return "holds"
    return "holds in part" if confirmed else "not separable"


def _describe_counts(counts: Counter[Verdict]) -> str:
    """Return in words how often each verdict was reached."""
    in_order = [verdict for verdict in get_args(Verdict) if counts[verdict]]
    if counts.total() == 1:
        return f"{in_order[0].capitalize()} in the one comparison."
    parts = ", ".join(f"{verdict} in {counts[verdict]}" for verdict in in_order)
    return f"Of {counts.total()} comparisons, {parts}."


def _sentence(reason: str) -> str:
    return f"{reason[:1].upper()}{reason[1:]}."


def _describe_question(question: Question, step: StepLength) -> str:
    """Return what was compared, such as ``RRMSE, look-back 30 days, …, 25 days``."""
    words = [question.metric if question.task != "forecast" else "RRMSE"]
    if question.setting is not None:
        words.append(setting_name(question.setting, step))
    if question.lead_days is not None:
        words.append(step.lasting(question.lead_days))
    return ", ".join(words)
