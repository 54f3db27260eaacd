"""A card for each trained model: what it is, what it learnt from, how it scores, where it ends."""

from collections.abc import Iterator

from sparta_ray.data.store import Store
from sparta_ray.evaluation.display import model_name
from sparta_ray.evaluation.evidence import Evidence, question_of
from sparta_ray.evaluation.history import training_machines
from sparta_ray.evaluation.score_record import metric_of
from sparta_ray.evaluation.study import Member
from sparta_ray.run import splits
from sparta_ray.training.stages import ModelKind, model_kind


def model_cards(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Yield file name and Markdown of every model of every run."""
    for member in evidence.study.members:
        for kind in member.run.models:
            yield f"{member.run.name}-{kind}.md", "\n".join(_card(evidence, member, kind)) + "\n"


def _card(evidence: Evidence, member: Member, kind: ModelKind) -> Iterator[str]:
    run, store = member.run, Store(member.run.data.store)
    variant = evidence.study.names(member)[kind]
    train = splits(run, len(store))["train"]
    cost = evidence.cost(variant)
    assert cost is not None
    yield f"# {model_name(variant)}, run {run.name}"
    yield ""
    yield f"- **Weights**: `models/{kind}/weights.safetensors` in the run folder"
    yield f"- **Size and training**: {cost.words}, on {'; '.join(training_machines(member.folder))}"
    stages = [stage for stage in run.training.stages if model_kind(stage) == kind]
    yield "- **Stages**: " + ", ".join(
        f"{stage.kind} ({stage.epochs} epochs, lr {stage.lr:g})" for stage in stages
    )
    title = store.provenance["title"]
    span = f"{store.days[train.start]} to {store.days[train.stop - 1]}"
    yield f"- **Trained on**: {title}, {span} ({len(train):,} steps)"
    yield f"- **Data fingerprint**: {member.fingerprint}"
    yield f"- **Variables**: {', '.join(store.variables)}; grid {store.grid[0]}x{store.grid[1]}"
    yield f"- **Seed**: {run.seed}"
    yield ""
    yield "## Scores on the downstream test days"
    yield ""
    yield "| task | score | value | interval over windows |"
    yield "| --- | --- | --- | --- |"
    yield from _score_lines(evidence, variant)
    yield ""
    yield "## Limits"
    yield ""
    if store.provenance["simulated"]:
        yield "- Trained on simulated weather: it knows nothing of the real atmosphere."
    yield "- It takes these variables, on this grid, in this order, and no others."
    yield "- Forecasts lose to climatology where the report says so; look there before using one."
    if store.provenance["licence"]:
        yield f"- Data: {' '.join(str(store.provenance['licence']).split())}"


def _score_lines(evidence: Evidence, variant: str) -> Iterator[str]:
    """Yield a line for each score over all variables that has no lead, and for the last leads."""
    scores = [s for s in evidence.study.results.scores if s.model == variant and not s.variable]
    last = {setting: evidence.leads(setting)[-1:] for setting in evidence.settings}
    for question in dict.fromkeys(question_of(score) for score in scores):
        lead = question.lead_days
        if lead is not None and lead not in (1, *last.get(question.setting or "", [])):
            continue
        answer = evidence.answer(variant, question)
        interval = answer.interval
        ends = interval.reason
        if interval.low is not None and interval.high is not None:
            ends = f"{interval.low:.4g} to {interval.high:.4g}"
        name = metric_of(question.metric).label + ("" if lead is None else f", {lead} days ahead")
        name += "" if question.setting is None else f" ({question.setting})"
        yield f"| {question.task} | {name} | {answer.value:.4g} | {ends} |"
