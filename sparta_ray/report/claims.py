"""The paper's claims, and questions of our own, as statements that scores can decide."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sparta_ray.metrics.metric import Better
from sparta_ray.report.display import PUBLISHED_NAMES, in_sentence, setting_name
from sparta_ray.report.paper_tables import LEADS, SETTINGS
from sparta_ray.report.study_scores import Question, StudyScores

Questions = Callable[[StudyScores], list[Question]]

COMPARABLE = 0.1
"""Two errors are comparable if they differ by less than this part; the paper gives no number."""


@dataclass(frozen=True)
class Claim:
    """A statement that one variant is better than another, or as good.

    Attributes:
        statement: What is claimed.
        source: Where the paper says it; empty for a question of our own.
        ours: The variant that is said to be better.
        theirs: What it is better than.
        questions: The scores that decide.
        better: Which direction is better.
        margin: For a claim that the two are alike: the largest relative difference.
        their_setting: The other's form of forecast, where it is not the questions' own.
    """

    statement: str
    source: str
    ours: str
    theirs: str
    questions: Questions
    better: Better = "lower"
    margin: float | None = None
    their_setting: str | None = None


def claims(evidence: StudyScores) -> Iterator[Claim]:
    """Yield the paper's claims, then what is asked of the study's own variants and forecasts."""
    yield from _BENCHMARK
    yield from _ABLATION
    yield from _FUSION
    yield from _own_variants(evidence)
    yield from _baselines(evidence)
    yield from _own_forecasts(evidence)


def _forecasts(*settings: str) -> Questions:
    """Return the RRMSE at the published leads of these settings, if they were scored."""
    return lambda evidence: [
        Question("forecast", "rrmse", setting, lead)
        for setting in settings
        for lead in _decisive(evidence.leads(setting))
    ]


def _all_forecasts(evidence: StudyScores) -> list[Question]:
    """Return the RRMSE at the published leads of each published setting, or of the others."""
    settings = [setting for setting in SETTINGS if evidence.leads(setting)]
    return _forecasts(*(settings or evidence.settings))(evidence)


def _decisive(leads: list[int]) -> list[int]:
    return [lead for lead in leads if lead in LEADS] or leads[-1:]


def _scores(task: str, *metrics: str) -> Questions:
    return lambda evidence: [Question(task, metric) for metric in metrics]


_LONG, _BY_FIVE, _BY_TEN = SETTINGS
_DISTANCES = _scores("latent space", "temporal distance", "cycle distance")
_RELATIVE = _scores("latent space", "relative temporal distance", "relative cycle distance")
_GENERATED, _DENSITY = _scores("diffusion", "rrmse"), _scores("diffusion", "latent density")
_SPREAD, _SEASONS = _scores("diffusion", "std"), _scores("classification", "cross-entropy")

_PLAIN, _HN, _CYCLE = "sparta_early", "sparta_early_hn", "sparta_early_cycle"
_WHOLE, _AUTOENCODER = "sparta_early_hn_cycle", "autoencoder"
_ATTENTION, _GRAPH = "sparta_late_attention", "sparta_late_graph"

_BENCHMARK = (
    Claim(
        "SPARTA forecasts better than the autoencoder",
        "Tables 1-3", _WHOLE, _AUTOENCODER, _all_forecasts,
    ),
    Claim(
        "SPARTA's embeddings move more smoothly, in plain distances",
        "Table 4", _WHOLE, _AUTOENCODER, _DISTANCES,
    ),
    Claim(
        "SPARTA's embeddings move more smoothly, relative to their variance",
        "Table 4, rescaled", _WHOLE, _AUTOENCODER, _RELATIVE,
    ),
    Claim(
        f"Generated fields are as good as the autoencoder's, within {COMPARABLE:.0%} of its error",
        "Table 5", _WHOLE, _AUTOENCODER, _GENERATED, margin=COMPARABLE,
    ),
    Claim(
        "Generated embeddings lie denser",
        "Table 5", _WHOLE, _AUTOENCODER, _DENSITY, "higher",
    ),
    Claim("Generated embeddings spread less", "Table 5", _WHOLE, _AUTOENCODER, _SPREAD),
    Claim("Seasons are classified better", "Table 5", _WHOLE, _AUTOENCODER, _SEASONS),
)  # fmt: skip

_ABLATION = (
    *(
        Claim(
            f"Hard negatives and cycle loss together forecast better than {in_sentence(other)}",
            "Tables 6-8", _WHOLE, other, _all_forecasts,
        )
        for other in (_PLAIN, _CYCLE, _HN)
    ),
    Claim(
        "Hard negatives alone forecast better, at the first two settings",
        "Tables 6, 7", _HN, _PLAIN, _forecasts(_LONG, _BY_FIVE),
    ),
    Claim(
        "The cycle loss alone forecasts better at look-back 30, interval 1",
        "Table 6", _CYCLE, _PLAIN, _forecasts(_LONG),
    ),
    Claim(
        "The cycle loss alone forecasts worse at the other two settings",
        "Tables 7, 8", _PLAIN, _CYCLE, _forecasts(_BY_FIVE, _BY_TEN),
    ),
    *(
        Claim(
            f"{added} {in_sentence(without)} smoother", "Table 10", with_it, without, _DISTANCES
        )
        for added, with_it, without in (
            ("The cycle loss makes", _CYCLE, _PLAIN),
            ("The cycle loss makes", _WHOLE, _HN),
            ("Hard negatives and cycle loss together make", _WHOLE, _PLAIN),
        )
    ),
    Claim("Hard negatives make the space less smooth", "Table 10", _PLAIN, _HN, _DISTANCES),
    Claim("Both together cost generation", "Table 9", _PLAIN, _WHOLE, _GENERATED),
    Claim("Both together let generated embeddings spread more", "Table 9", _PLAIN, _WHOLE, _SPREAD),
    Claim("Both together cost classification", "Table 9", _PLAIN, _WHOLE, _SEASONS),
)  # fmt: skip

_FUSION = (
    *(
        claim
        for name, variant in (("Self-attention", _ATTENTION), ("The graph", _GRAPH))
        for claim in (
            Claim(
                f"{name} forecasts better than early fusion",
                "Tables 1-3, 11-13", variant, _WHOLE, _all_forecasts,
            ),
            Claim(
                f"{name} generates denser embeddings than early fusion",
                "Table 14", variant, _WHOLE, _DENSITY, "higher",
            ),
            Claim(
                f"{name} generates embeddings that spread less than early fusion's",
                "Table 14", variant, _WHOLE, _SPREAD,
            ),
            Claim(
                f"{name} classifies better than early fusion",
                "Table 14", variant, _WHOLE, _SEASONS,
            ),
        )
    ),
    Claim(
        "The graph forecasts better than self-attention",
        "Tables 11-13", _GRAPH, _ATTENTION, _all_forecasts,
    ),
    Claim(
        "The graph's space is smoother than self-attention's",
        "Table 15", _GRAPH, _ATTENTION, _DISTANCES,
    ),
    Claim(
        "Self-attention classifies better than the graph",
        "Table 14", _ATTENTION, _GRAPH, _SEASONS,
    ),
)  # fmt: skip


def _own_variants(evidence: StudyScores) -> Iterator[Claim]:
    """Ask of each variant that the paper does not have whether it beats the first, or SPARTA."""
    variants = list(dict.fromkeys(member.variant for member in evidence.study.members))
    reference = _WHOLE if _WHOLE in variants else variants[0]
    reconstruction = _scores("reconstruction", "standardised error")
    for own in variants:
        if own in PUBLISHED_NAMES or own == reference:
            continue
        for does, questions in (
            ("reconstructs", reconstruction),
            ("forecasts", _all_forecasts),
            ("generates", _GENERATED),
            ("classifies", _SEASONS),
        ):
            statement = f"{own} {does} better than {in_sentence(reference)}"
            yield Claim(statement, "", own, reference, questions)


def _baselines(evidence: StudyScores) -> Iterator[Claim]:
    for model in _models(evidence):
        for baseline in ("persistence", "climatology"):
            statement = f"Forecasts of {in_sentence(model)} beat {baseline}"
            yield Claim(statement, "", model, baseline, _all_forecasts)


def _own_forecasts(evidence: StudyScores) -> Iterator[Claim]:
    """Ask of forecasts in other forms than the published ones, at every lead of the tables."""
    published = [setting for setting in SETTINGS if evidence.leads(setting)]
    for setting in evidence.settings:
        if setting in SETTINGS:
            continue
        for model in _models(evidence):
            whose = f"Forecasts of {in_sentence(model)}, {setting_name(setting)},"
            at_all_leads = _at_all_leads(setting)
            for baseline in ("persistence", "climatology"):
                yield Claim(f"{whose} beat {baseline}", "", model, baseline, at_all_leads)
            for theirs in published:
                yield Claim(
                    f"{whose} beat those with {setting_name(theirs)}",
                    *("", model, model, at_all_leads),
                    their_setting=theirs,
                )


def _at_all_leads(setting: str) -> Questions:
    return lambda evidence: [
        Question("forecast", "rrmse", setting, lead) for lead in evidence.leads(setting)
    ]


def _models(evidence: StudyScores) -> list[str]:
    """Return what the trained models of a study are called."""
    members = map(evidence.study.names, evidence.study.members)
    return list(dict.fromkeys(name for names in members for name in names.values()))
