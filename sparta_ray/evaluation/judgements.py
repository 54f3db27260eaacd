"""The paper's claims, each put to the test of a study's scores, with a verdict in words."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from sparta_ray.evaluation.display import in_sentence, lead_name, setting_name
from sparta_ray.evaluation.evidence import Evidence, Question
from sparta_ray.evaluation.paper_tables import LEADS, SETTINGS
from sparta_ray.evaluation.score_record import Better
from sparta_ray.evaluation.uncertainty import Comparison

Outcome = Literal["holds", "holds in part", "mixed", "not separable", "does not hold", "not tested"]


@dataclass(frozen=True)
class Claim:
    """A statement that one variant is better than another.

    Attributes:
        statement: What is claimed.
        source: Where the paper says it; empty for a question of our own.
        ours: The variant that is said to be better.
        theirs: What it is better than.
        questions: The scores that decide.
        better: Which direction is better.
    """

    statement: str
    source: str
    ours: str
    theirs: str
    questions: Callable[[Evidence], list[Question]]
    better: Better


@dataclass(frozen=True)
class Judgement:
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


def judge_all(evidence: Evidence) -> list[Judgement]:
    """Return the verdict on every claim."""
    return [judge(claim, evidence) for claim in _claims(evidence)]


def judge(claim: Claim, evidence: Evidence) -> Judgement:
    """Put one claim to the test.

    It holds if the one variant is better on every score that decides, in part if on some and worse
    on none. It does not hold if it is worse on some and better on none; with both it is mixed.
    Otherwise the two cannot be told apart.
    """
    found = [
        (_words(question), evidence.compare(claim.ours, claim.theirs, question, claim.better))
        for question in claim.questions(evidence)
    ]
    compared = [comparison for _, comparison in found if comparison.verdict != "not compared"]
    if not compared:
        why = found[0][1].reason if found else "no forecast was scored"
        return Judgement(claim, "not tested", tuple(found), why[:1].upper() + why[1:] + ".")
    counts = {
        verdict: sum(comparison.verdict == verdict for comparison in compared)
        for verdict in ("better", "worse", "not separable")
    }
    outcome: Outcome = "not separable"
    if counts["worse"]:
        outcome = "mixed" if counts["better"] else "does not hold"
    elif counts["better"] == len(compared):
        outcome = "holds"
    elif counts["better"]:
        outcome = "holds in part"
    parts = [f"{verdict} in {count}" for verdict, count in counts.items() if count]
    if len(compared) == 1:
        (verdict,) = (verdict for verdict, count in counts.items() if count)
        text = f"{verdict.capitalize()} in the one comparison."
    else:
        text = f"Of {len(compared)} comparisons, {', '.join(parts)}."
    reasons = {c.reason for c in compared if c.verdict == "not separable" and c.reason}
    if outcome == "not separable" and len(reasons) == 1:
        reason = reasons.pop()
        text += f" {reason[:1].upper()}{reason[1:]}."
    if len(compared) < len(found):
        text += f" {len(found) - len(compared)} could not be compared."
    return Judgement(claim, outcome, tuple(found), text)


def _claims(evidence: Evidence) -> Iterator[Claim]:
    yield from _benchmark_claims()
    yield from _ablation_claims()
    yield from _fusion_claims()
    for variant in (*_CONTRASTIVE, "autoencoder"):
        if variant in evidence.variants:
            for baseline in ("persistence", "climatology"):
                yield Claim(
                    f"Forecasts of {in_sentence(variant)} beat {baseline}",
                    "",
                    variant,
                    baseline,
                    _forecasts,
                    "lower",
                )


_CONTRASTIVE = (
    "sparta_early_hn_cycle", "sparta_early_hn", "sparta_early_cycle", "sparta_early",
    "sparta_late_attention", "sparta_late_graph",
)  # fmt: skip


def _benchmark_claims() -> Iterator[Claim]:
    pair = ("sparta_early_hn_cycle", "autoencoder")
    yield Claim(
        "SPARTA forecasts better than the autoencoder", "Tables 1-3", *pair, _forecasts, "lower"
    )
    yield Claim(
        "SPARTA's embeddings move more smoothly, in plain distances",
        "Table 4",
        *pair,
        _latent("temporal distance", "cycle distance"),
        "lower",
    )
    yield Claim(
        "SPARTA's embeddings move more smoothly, relative to their variance",
        "Table 4, rescaled",
        *pair,
        _latent("relative temporal distance", "relative cycle distance"),
        "lower",
    )
    yield Claim(
        "Generated embeddings lie denser", "Table 5", *pair, _diffusion("latent density"), "higher"
    )
    yield Claim("Generated embeddings spread less", "Table 5", *pair, _diffusion("std"), "lower")
    yield Claim("Seasons are classified better", "Table 5", *pair, _classification, "lower")


def _ablation_claims() -> Iterator[Claim]:
    whole = "sparta_early_hn_cycle"
    for other in ("sparta_early", "sparta_early_cycle", "sparta_early_hn"):
        yield Claim(
            f"Hard negatives and cycle loss together forecast better than {in_sentence(other)}",
            "Tables 6-8",
            whole,
            other,
            _forecasts,
            "lower",
        )
    distances = _latent("temporal distance", "cycle distance")
    for with_cycle, without in (
        ("sparta_early_cycle", "sparta_early"),
        (whole, "sparta_early_hn"),
    ):
        statement = f"The cycle loss makes {in_sentence(without)} smoother"
        yield Claim(statement, "Table 10", with_cycle, without, distances, "lower")
    yield Claim(
        "Hard negatives make the space less smooth",
        "Table 10",
        "sparta_early",
        "sparta_early_hn",
        distances,
        "lower",
    )
    yield Claim(
        "Both together cost classification", "Table 9",
        "sparta_early", whole, _classification, "lower",
    )  # fmt: skip


def _fusion_claims() -> Iterator[Claim]:
    graph, attention = "sparta_late_graph", "sparta_late_attention"
    yield Claim(
        "The graph forecasts better than self-attention", "Tables 11-13",
        graph, attention, _forecasts, "lower",
    )  # fmt: skip
    yield Claim(
        "The graph's space is smoother than self-attention's", "Table 15",
        graph, attention, _latent("temporal distance", "cycle distance"), "lower",
    )  # fmt: skip
    yield Claim(
        "Self-attention classifies better than early fusion", "Table 14",
        attention, "sparta_early_hn_cycle", _classification, "lower",
    )  # fmt: skip


def _forecasts(evidence: Evidence) -> list[Question]:
    """Return the RRMSE at the published leads of each setting, or at its last lead."""
    settings = [setting for setting in SETTINGS if evidence.leads(setting)]
    settings = settings or evidence.settings
    return [
        Question("forecast", "rrmse", setting, lead)
        for setting in settings
        for lead in _decisive(evidence.leads(setting))
    ]


def _decisive(leads: list[int]) -> list[int]:
    return [lead for lead in leads if lead in LEADS] or leads[-1:]


def _latent(*metrics: str) -> Callable[[Evidence], list[Question]]:
    return lambda evidence: [Question("latent space", metric) for metric in metrics]


def _diffusion(metric: str) -> Callable[[Evidence], list[Question]]:
    return lambda evidence: [Question("diffusion", metric)]


def _classification(evidence: Evidence) -> list[Question]:
    return [Question("classification", "cross-entropy")]


def _words(question: Question) -> str:
    """Return what was compared in a few words."""
    words = [question.metric if question.task != "forecast" else "RRMSE"]
    if question.setting is not None:
        words.append(setting_name(question.setting))
    if question.lead_days is not None:
        words.append(lead_name(question.lead_days))
    return ", ".join(words)
