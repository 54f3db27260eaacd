"""Claims put to the test of a study's scores, each with a verdict in words."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sparta_ray.metrics.uncertainty import Comparison, Verdict
from sparta_ray.report.claims import Claim, claims
from sparta_ray.report.display import lead_name, setting_name
from sparta_ray.report.study_scores import Question, StudyScores

Outcome = Literal["holds", "holds in part", "mixed", "not separable", "does not hold", "not tested"]


@dataclass(frozen=True)
class ClaimVerdict:
    """A claim and what a study says of it.

    Attributes:
        claim: The claim.
        outcome: The verdict.
        comparisons: What was compared: words for the score, and the result.
        explanation: A sentence on how the verdict came about.
    """

    claim: Claim
    outcome: Outcome
    comparisons: tuple[tuple[str, Comparison], ...]
    explanation: str


def judge_all(evidence: StudyScores) -> list[ClaimVerdict]:
    """Return the verdict on every claim."""
    return [judge(claim, evidence) for claim in claims(evidence)]


def judge(claim: Claim, evidence: StudyScores) -> ClaimVerdict:
    """Put one claim to the test.

    It holds if the one variant is better on every score that decides, in part if on some and worse
    on none. It does not hold if it is worse on some and better on none; with both it is mixed.
    Otherwise the two cannot be told apart. A claim that two are alike holds if they are.
    """
    how: dict[str, Any] = {
        "better": claim.better, "margin": claim.margin, "their_setting": claim.their_setting
    }  # fmt: skip
    found = [
        (_words(question), evidence.compare(claim.ours, claim.theirs, question, **how))
        for question in claim.questions(evidence)
    ]
    compared = [comparison for _, comparison in found if comparison.verdict != "not compared"]
    if not compared:
        why = found[0][1].reason if found else "no such forecast was scored"
        return ClaimVerdict(claim, "not tested", tuple(found), _sentence(why))
    counts = Counter(comparison.verdict for comparison in compared)
    outcome = _outcome(counts)
    text = _counted(counts)
    reasons = {c.reason for c in compared if c.verdict == "not separable" and c.reason}
    if outcome == "not separable" and len(reasons) == 1:
        text += f" {_sentence(reasons.pop())}"
    if len(compared) < len(found):
        text += f" {len(found) - len(compared)} could not be compared."
    return ClaimVerdict(claim, outcome, tuple(found), text)


def _outcome(counts: Counter[Verdict]) -> Outcome:
    """Return the outcome of a claim whose comparisons came out as counted."""
    kept = counts["better"] + counts["alike"]
    if counts["worse"] or counts["unlike"]:
        return "mixed" if kept else "does not hold"
    if kept == counts.total():
        return "holds"
    return "holds in part" if kept else "not separable"


def _counted(counts: Counter[Verdict]) -> str:
    """Return in words how often each verdict came out."""
    in_order = [verdict for verdict in get_args(Verdict) if counts[verdict]]
    if counts.total() == 1:
        return f"{in_order[0].capitalize()} in the one comparison."
    parts = ", ".join(f"{verdict} in {counts[verdict]}" for verdict in in_order)
    return f"Of {counts.total()} comparisons, {parts}."


def _sentence(reason: str) -> str:
    return f"{reason[:1].upper()}{reason[1:]}."


def _words(question: Question) -> str:
    """Return what was compared in a few words."""
    words = [question.metric if question.task != "forecast" else "RRMSE"]
    if question.setting is not None:
        words.append(setting_name(question.setting))
    if question.lead_days is not None:
        words.append(lead_name(question.lead_days))
    return ", ".join(words)
