"""The report of a run or a study: gathers its verdicts, findings, tables, figures and notes."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from sparta_ray.base.durations import StepLength
from sparta_ray.base.folder import RunFolder
from sparta_ray.data.plan.splits import Split
from sparta_ray.figures.display import in_sentence, model_name
from sparta_ray.metrics.records import Score
from sparta_ray.report.changed_settings import changed_settings
from sparta_ray.report.findings import findings
from sparta_ray.report.html import ReportContext, write_report
from sparta_ray.report.model_cards import model_cards
from sparta_ray.report.paper_tables import PAPER_TABLES, paper_table
from sparta_ray.report.published_layout import published_layout
from sparta_ray.report.robustness import robustness_table
from sparta_ray.report.run_figures import page_figures
from sparta_ray.report.study import Member, Study, read_study
from sparta_ray.report.study_figures import study_figures
from sparta_ray.report.study_scores import StudyScores
from sparta_ray.report.table_files import of_confusions
from sparta_ray.report.verdicts import all_verdicts
from sparta_ray.run.data_record import DataRecord
from sparta_ray.run.history import training_machines
from sparta_ray.run.ownership import read_run_record
from sparta_ray.run.settings import Run, downstream_splits, schedule, splits
from sparta_ray.tasks.registry import DOWNSTREAM_TASKS


def write_page(run: Run) -> str:
    """Write the report of an evaluated run and return the path of its page.

    Raises:
        ConfigError: The run has not been evaluated.
    """
    return write_pages([run.path])


def write_pages(paths: Sequence[str]) -> str:
    """Write one report of one run, of several, or of a study, and return the path of its page.

    The report of a study is in the study's folder, that of several runs in the last run's.

    Args:
        paths: Run folders, or the folder of a study.

    Raises:
        ConfigError: Nothing is evaluated, or the runs cannot be in one report.
    """
    return _publish(_context(read_study(paths)))


def _context(study: Study) -> tuple[RunFolder, ReportContext]:
    first = study.members[0]
    data = first.data
    scores = StudyScores(study, first.run.evaluation.bootstrap)
    results = study.results
    alone, runs = len(study.members) == 1 and not study.empty, [m.run for m in study.members]
    figures, undrawn = study_figures(study)
    if alone:
        figures += page_figures(first.run, first.folder, first.results)
    else:
        for task in DOWNSTREAM_TASKS:
            figures += task.study_figures(results, study.step)
    context = ReportContext(
        title=f"SPARTA {'run' if alone else 'study'} “{study.name}”",
        verdicts=all_verdicts(scores),
        summary=findings(results.scores, study.step),
        run=_facts(study, data),
        shortened=list(changed_settings(study)),
        notes=[*_notes(study, data), *undrawn],
        scores=results.scores,
        tabled=[score for score in results.scores if _in_tables(runs, score)],
        absent=results.absent,
        figures=figures,
        paper_tables=[paper_table(s, scores) for s in PAPER_TABLES] if study.step.is_day else [],
        published_layout=published_layout(scores) if study.step.is_day else {},
        files=[robustness_table(study), of_confusions(study)],
        cards=dict(model_cards(scores)),
        study_scores=scores,
        simulated=bool(data.provenance["simulated"]),
    )
    return RunFolder(study.path), context


def _in_tables(runs: Sequence[Run], score: Score) -> bool:
    """Return whether the tables of some run show a score's lead time."""
    if score.lead_days is None:
        return True
    shown = [
        run.evaluation.table_leads(forecast.lead_days)
        for run in runs
        if (forecast := run.downstream.forecast.get(score.setting or ""))
    ]
    return not shown or any(score.lead_days in leads for leads in shown)


def _publish(report: tuple[RunFolder, ReportContext]) -> str:
    """Write the report into the run folder, which may be remote."""
    folder, context = report
    if folder.is_local:
        return str(write_report(Path(folder.child("report")), context))
    import tempfile

    with tempfile.TemporaryDirectory() as local:
        root = write_report(Path(local), context).parent
        for file in filter(Path.is_file, root.rglob("*")):
            folder.write(f"report/{file.relative_to(root).as_posix()}", file.read_bytes())
    return folder.child("report", "index.html")


def _facts(study: Study, data: DataRecord) -> dict[str, str]:
    """Return what was run, on what data, with what."""
    first = study.members[0]
    facts = {
        "Data": f"{data.provenance['title']}: {data.days[0]} to {data.days[-1]}, "
        f"{study.step.counted(len(data))}, {data.grid[0]}x{data.grid[1]} points",
        "Variables": ", ".join(data.variables),
        "Source": str(data.provenance["source"]),
        "Data fingerprint": data.fingerprint,
    }
    step = study.step
    for name, part in splits(first.run, len(data)).items():
        facts[f"{name.capitalize()} {step.nouns}"] = _span(data, part, step)
    for name, part in downstream_splits(first.run, len(data)).items():
        facts[f"Downstream {name} {step.nouns}"] = _span(data, part, step)
    for member in study.members:
        own = _run_facts(study, member, data)
        if len(study.members) > 1:
            own = {f"Run {member.run.name}": "; ".join(f"{k}: {v}" for k, v in own.items())}
        facts |= own
    for variant, reason in study.empty.items():
        facts[f"Variant {variant}"] = reason
    for trial, reason in study.lost.items():
        facts[f"Trial {trial}"] = f"{reason}; the means of its variant leave it out"
    return facts


def _run_facts(study: Study, member: Member, data: DataRecord) -> dict[str, str]:
    """Return how one run was trained, by name."""
    run, facts = member.run, {}
    for stage in run.training.stages:
        plan = schedule(run, stage, len(data))
        facts[f"Stage {stage.kind}"] = (
            f"{plan.epochs} epochs, {plan.epochs * plan.train_steps:,} steps of up to "
            f"{run.sampling.rows_per_full_batch} rows"
        )
    for kind, variant in study.names(member).items():
        facts[model_name(variant)] = member.results.costs[kind].words
    record = read_run_record(member.folder)
    facts["Trained on"] = "; ".join(training_machines(member.folder))
    facts["Seed"] = str(run.seed)
    facts["Code"] = f"revision {record.get('git_revision', 'unknown')}; " + ", ".join(
        f"{name} {version}" for name, version in record.get("versions", {}).items()
    )
    return facts


def _span(data: DataRecord, part: Split, step: StepLength) -> str:
    ends = f"{data.days[part.start]} to {data.days[part.stop - 1]}"
    return f"{ends} ({step.counted(len(part))})"


def _notes(study: Study, data: DataRecord) -> Iterator[str]:
    run = study.members[0].run
    bootstrap = run.evaluation.bootstrap
    yield _mask_note(run, data.grid)
    yield (
        "RRMSE pools all variables in their own units, so geopotential dominates it. The scores of "
        "single variables say more."
    )
    yield (
        f"Intervals are {100 * bootstrap.level:.0f} % circular block-bootstrap intervals over test "
        f"windows, in blocks of {bootstrap.block_days} days. They cover the uncertainty that comes "
        "from the weather of the test period. The uncertainty that comes from training is shown by "
        "the standard deviation over seeds."
    )
    training = splits(run, len(data))["train"]
    years = len(training) * study.step.hours / (24 * 365.25)
    times = ", apart for each time of day" if study.step.hours < 24 else ""
    yield (
        f"Climatology and the mean field are computed from the {years:.1f} training years. "
        f"Climatology is smoothed over the days of the year{times}, with weights that fall to 0 at "
        f"±{run.evaluation.climatology_half_window} days."
    )
    if len({member.run.seed for member in study.members}) == 1:
        yield (
            "Each model was trained once, so the variation between trainings is unknown: a verdict "
            "applies to these weights, not to the method."
        )
    elif single := [v for v, n in _trainings(study).items() if n == 1]:
        yield (
            f"Trained once: {', '.join(map(in_sentence, single))}. Verdicts on them apply to these "
            "weights, not to the method."
        )
    if study.lost:
        lost = "; ".join(f"{trial}: {reason}" for trial, reason in study.lost.items())
        yield f"Trainings without scores, which means and standard deviations leave out: {lost}."
    if not study.step.is_day:
        yield (
            f"A step is {study.step.lasting(1)}. The paper's are days, so its numbers and tables "
            "are left out."
        )
    if data.provenance["licence"]:
        yield "Data: " + " ".join(str(data.provenance["licence"]).split())


def _trainings(study: Study) -> Counter[str]:
    """Return the number of trainings of each variant."""
    return Counter(member.variant for member in study.members)


def _mask_note(run: Run, grid: tuple[int, int]) -> str:
    """Say how much is hidden, and whether what is left still determines a field."""
    mask = run.downstream.mask
    low, high = mask.ratio
    hidden = f"{100 * high:.0f} %" if low == high else f"{100 * low:.0f} to {100 * high:.0f} %"
    view, field = ("x".join(map(str, sides)) for sides in (run.views.crop, grid))
    shape = "" if mask.shape.kind == "points" else f" (shape: {mask.shape.kind})"
    if mask.on == "grid":
        return (
            f"Masks are applied to the data's own {field} grid, before resizing, which is not as "
            f"published: {hidden} of each variable's {math.prod(grid):,} values are hidden{shape}."
        )
    values, points = math.prod(run.views.crop), math.prod(grid)
    left = round((1 - high) * values)
    published = shape or ", as published"
    note = (
        f"Masks are applied to the {view} view, after resizing{published}. With {hidden} hidden, "
    )
    if left >= points and not shape:
        return note + (
            f"{left:,} values of each variable are left, which still determine its {field} field "
            f"of {points:,} values. Reconstruction from sparser observations is a harder task."
        )
    fewest = "" if low == high else "as few as "
    return note + (
        f"{fewest}{left:,} of each variable's {values:,} values are left; its {field} field has "
        f"{points:,}."
    )
