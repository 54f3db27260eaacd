"""A card for each trained model: what it is, what it learnt from, how it scores, where it ends."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from statistics import fmean

from sparta_ray.base.durations import StepLength
from sparta_ray.figures.display import model_name
from sparta_ray.metrics.catalogue import metric_of
from sparta_ray.metrics.records import Score
from sparta_ray.metrics.uncertainty import Interval, interval_of
from sparta_ray.report.study import Member
from sparta_ray.report.study_scores import WITHOUT_WINDOWS, Question, StudyScores, question_of
from sparta_ray.run.data_record import DataRecord
from sparta_ray.run.history import training_machines
from sparta_ray.run.settings import downstream_splits, splits
from sparta_ray.run.trial import Trial
from sparta_ray.tasks.registry import task_named
from sparta_ray.tasks.trials import task_config, trials
from sparta_ray.training.stages import ModelKind, model_kind


def model_cards(evidence: StudyScores) -> Iterator[tuple[str, str]]:
    """Yield file name and Markdown of every model of every run, tasks' models included."""
    for member in evidence.study.members:
        for kind in member.run.models:
            yield f"{member.run.name}-{kind}.md", "\n".join(_card(evidence, member, kind)) + "\n"
        for trial in trials(member.run):
            name = f"{member.run.name}-{trial.name}.md"
            yield name, "\n".join(_task_card(evidence, member, trial)) + "\n"


def _card(evidence: StudyScores, member: Member, kind: ModelKind) -> Iterator[str]:
    run, data = member.run, member.data
    variant = evidence.study.names(member)[kind]
    train = splits(run, len(data))["train"]
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
    title = data.provenance["title"]
    span = f"{data.days[train.start]} to {data.days[train.stop - 1]}"
    yield f"- **Trained on**: {title}, {span} ({run.data.length.counted(len(train))})"
    yield f"- **Data fingerprint**: {member.fingerprint}"
    yield f"- **Variables**: {', '.join(data.variables)}; grid {data.grid[0]}x{data.grid[1]}"
    yield f"- **Seed**: {run.seed}"
    yield ""
    yield f"## Scores on the downstream test {run.data.length.nouns}"
    yield ""
    yield "| task | score | value | interval over windows |"
    yield "| --- | --- | --- | --- |"
    for question, value, interval in _score_lines(evidence, member, lambda s: s.model == kind):
        name = _score_name(question, run.data.length) + (
            f" ({question.setting})" if question.setting else ""
        )
        yield f"| {question.task} | {name} | {value} | {interval} |"
    yield ""
    yield "## Limits"
    yield ""
    yield "- It takes these variables, on this grid, in this order, and no others."
    yield "- Forecasts lose to climatology where the report says so; look there before using one."
    yield from _limits_of_data(data)


def _task_card(evidence: StudyScores, member: Member, trial: Trial) -> Iterator[str]:
    run, data = member.run, member.data
    variant = evidence.study.names(member)[trial.model]
    train = downstream_splits(run, len(data))["train"]
    settings = asdict(task_config(run, trial))
    of_trial = (trial.model, trial.task, trial.setting or None, trial.seed)

    def is_ours(score: Score) -> bool:
        return (score.model, score.task, score.setting, score.seed) == of_trial

    yield f"# {trial.task.capitalize()} on {model_name(variant)}, run {run.name}"
    yield ""
    yield f"- **Weights**: `{trial.folder}/weights.safetensors` in the run folder"
    yield f"- **Stands on**: [{run.name}-{trial.model}.md]({run.name}-{trial.model}.md), frozen"
    yield "- **Settings**: " + ", ".join(f"{name} {value}" for name, value in settings.items())
    span = f"{data.days[train.start]} to {data.days[train.stop - 1]}"
    length = run.data.length.counted(len(train))
    yield f"- **Trained on**: {data.provenance['title']}, {span} ({length})"
    yield f"- **Data fingerprint**: {member.fingerprint}"
    yield f"- **Seed**: {trial.seed}, of run seed {run.seed}"
    yield ""
    yield f"## Scores on the downstream test {run.data.length.nouns}"
    yield ""
    yield "| score | value | interval over windows |"
    yield "| --- | --- | --- |"
    for question, value, interval in _score_lines(evidence, member, is_ours):
        yield f"| {_score_name(question, run.data.length)} | {value} | {interval} |"
    yield ""
    yield "## Limits"
    yield ""
    yield "- It takes embeddings of the model that it stands on, and of no other."
    yield from (f"- {limit}" for limit in task_named(trial.task).limits)
    yield from _limits_of_data(data)


def _limits_of_data(data: DataRecord) -> Iterator[str]:
    if data.provenance["simulated"]:
        yield "- Trained on simulated weather: it knows nothing of the real atmosphere."
    if data.provenance["licence"]:
        yield f"- Data: {' '.join(str(data.provenance['licence']).split())}"


def _score_lines(
    evidence: StudyScores, member: Member, is_ours: Callable[[Score], bool]
) -> Iterator[tuple[Question, str, str]]:
    """Yield question, value and interval of a run's own scores, at the first and last lead.

    Scores of single variables are left out; several seeds of a task become their mean.
    """
    scores = [s for s in member.results.scores if is_ours(s) and not s.variable]
    windows = [w for w in member.results.windows if is_ours(w.score)]
    for question in dict.fromkeys(map(question_of, scores)):
        leads = [s.lead_days for s in scores if s.setting == question.setting]
        if question.lead_days not in _ends_of(leads):
            continue
        values = [score.value for score in scores if question_of(score) == question]
        found = [w for w in windows if question_of(w.score) == question]
        interval = Interval(None, None, WITHOUT_WINDOWS)
        if found:
            interval = interval_of(found, evidence.bootstrap)
        yield question, f"{fmean(values):.4g}", _words(interval)


def _ends_of(leads: Iterable[int | None]) -> set[int | None]:
    """Return the first and last lead; None stands for itself."""
    days = [lead for lead in leads if lead is not None]
    return {None, *([min(days), max(days)] if days else [])}


def _score_name(question: Question, step: StepLength) -> str:
    lead = question.lead_days
    return step.worded(metric_of(question.metric).label) + (
        "" if lead is None else f", {step.lasting(lead)} ahead"
    )


def _words(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return interval.reason
    return f"{interval.low:.4g} to {interval.high:.4g}"
