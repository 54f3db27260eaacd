"""The report of a run or a study: results turned into sentences, tables and figures."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from sparta_ray.base.config import differences, to_tree
from sparta_ray.base.folder import RunFolder
from sparta_ray.metrics.records import Score
from sparta_ray.report.display import in_sentence, model_name
from sparta_ray.report.findings import findings
from sparta_ray.report.html import ReportContext, write_report
from sparta_ray.report.model_cards import model_cards
from sparta_ray.report.paper_tables import PAPER_TABLES, published_layout
from sparta_ray.report.run_figures import page_figures
from sparta_ray.report.study import Member, Study, read_study
from sparta_ray.report.study_figures import confusion_table, robustness_table, study_figures
from sparta_ray.report.study_scores import StudyScores
from sparta_ray.report.verdicts import judge_all
from sparta_ray.run.data_record import DataRecord
from sparta_ray.run.history import training_machines
from sparta_ray.run.settings import Run, downstream_splits, schedule, splits
from sparta_ray.tasks.registry import DOWNSTREAM_TASKS

_STATED = ("name", "folder", "scaling", "data.source", "data.store", "seed")
"""Settings that are no part of the method, and are not listed as differing from it."""


def write_page(run: Run) -> str:
    """Write the report of an evaluated run and return the path of its page.

    Raises:
        ConfigError: The run has not been evaluated.
    """
    return write_pages([run.path])


def write_pages(paths: Sequence[str]) -> str:
    """Write one report of one run, of several, or of a study, and return the path of its page.

    It lies in the study's folder or, of several runs, in the last one's.

    Args:
        paths: Run folders, or the folder of a study.

    Raises:
        ConfigError: Nothing is evaluated, or the runs cannot stand in one table.
    """
    return _publish(_context(read_study(paths)))


def _context(study: Study) -> tuple[RunFolder, ReportContext]:
    first = study.members[0]
    data = first.data
    evidence = StudyScores(study, first.run.evaluation.bootstrap)
    results = study.results
    alone, runs = len(study.members) == 1 and not study.empty, [m.run for m in study.members]
    figures, undrawn = study_figures(evidence)
    if alone:
        figures += page_figures(first.run, first.folder, first.results)
    else:
        for task in DOWNSTREAM_TASKS:
            figures += task.study_figures(results)
    context = ReportContext(
        title=f"SPARTA {'run' if alone else 'study'} “{study.name}”",
        verdicts=judge_all(evidence),
        summary=findings(results.scores),
        run=_facts(study, data),
        shortened=list(_shortened(study)),
        notes=[*_notes(study, data), *undrawn],
        scores=results.scores,
        tabled=[score for score in results.scores if _in_tables(runs, score)],
        absent=results.absent,
        figures=figures,
        paper_tables=[table(evidence) for table in PAPER_TABLES],
        published_layout=published_layout(evidence),
        files=[robustness_table(study), confusion_table(study)],
        cards=dict(model_cards(evidence)),
        evidence=evidence,
        simulated=bool(data.provenance["simulated"]),
    )
    return RunFolder(study.path), context


def _in_tables(runs: Sequence[Run], score: Score) -> bool:
    """Return whether a score's lead time is one that some run's tables show."""
    if score.lead_days is None:
        return True
    shown = [
        run.evaluation.table_leads(forecast.lead_days)
        for run in runs
        if (forecast := run.downstream.forecast.get(score.setting or ""))
    ]
    return not shown or any(score.lead_days in leads for leads in shown)


def _publish(report: tuple[RunFolder, ReportContext]) -> str:
    """Write the report beside the run, wherever that is."""
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
        f"{len(data):,} days, {data.grid[0]}x{data.grid[1]} points",
        "Variables": ", ".join(data.variables),
        "Source": str(data.provenance["source"]),
        "Data fingerprint": data.fingerprint,
    }
    for name, part in splits(first.run, len(data)).items():
        facts[f"{name.capitalize()} days"] = _span(data, part.start, part.stop)
    for name, part in downstream_splits(first.run, len(data)).items():
        facts[f"Downstream {name} days"] = _span(data, part.start, part.stop)
    for member in study.members:
        own = _run_facts(study, member, data)
        if len(study.members) > 1:
            own = {f"Run {member.run.name}": "; ".join(f"{k}: {v}" for k, v in own.items())}
        facts |= own
    for variant, reason in study.empty.items():
        facts[f"Variant {variant}"] = reason
    for trial, reason in study.lost.items():
        facts[f"Trial {trial}"] = f"{reason}; its variant's means are over the others"
    return facts


def _run_facts(study: Study, member: Member, data: DataRecord) -> dict[str, str]:
    """Return how one run was trained."""
    run, facts = member.run, {}
    for stage in run.training.stages:
        plan = schedule(run, stage, len(data))
        facts[f"Stage {stage.kind}"] = (
            f"{plan.epochs} epochs, {plan.epochs * plan.train_steps:,} steps of up to "
            f"{run.sampling.rows_per_full_batch} rows"
        )
    for kind, variant in study.names(member).items():
        facts[model_name(variant)] = member.results.costs[kind].words
    record = yaml.safe_load(member.folder.read("run.yaml"))
    facts["Trained on"] = "; ".join(training_machines(member.folder))
    facts["Seed"] = str(run.seed)
    facts["Code"] = f"revision {record['git_revision']}; " + ", ".join(
        f"{name} {version}" for name, version in record["versions"].items()
    )
    return facts


def _span(data: DataRecord, start: int, stop: int) -> str:
    return f"{data.days[start]} to {data.days[stop - 1]} ({stop - start:,} days)"


def _shortened(study: Study) -> Iterator[tuple[str, str, str]]:
    """List every setting of the method that differs from the published one in some run."""
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for member in study.members:
        for path, published, ours in _settings_changed(member.run):
            found.setdefault((path, published), {}).setdefault(ours, []).append(member.run.name)
    for (path, published), values in found.items():
        ours, runs = next(iter(values.items()))
        if len(values) > 1 or len(runs) < len(study.members):
            ours = "; ".join(f"{value} ({', '.join(names)})" for value, names in values.items())
        yield path, published, ours


def _settings_changed(run: Run) -> Iterator[tuple[str, str, str]]:
    left_out = [name for name in Run().downstream.forecast if name not in run.downstream.forecast]
    absent = tuple(f"downstream.forecast.{name}" for name in left_out)
    yield from ((path, "trained", "left out") for path in absent)
    for line in differences(to_tree(Run()), to_tree(run), (*_STATED, *absent)):
        path, _, values = line.partition(": ")
        published, _, ours = values.partition(" -> ")
        yield path, published.strip("'"), ours.strip("'")


def _notes(study: Study, data: DataRecord) -> Iterator[str]:
    run = study.members[0].run
    bootstrap = run.evaluation.bootstrap
    yield _mask_note(run, data.grid)
    yield (
        "RRMSE pools all variables in their own units, so geopotential dominates it; judge by the "
        "per-variable scores."
    )
    yield (
        f"Intervals are {100 * bootstrap.level:.0f} % circular block-bootstrap intervals over test "
        f"windows, in blocks of {bootstrap.block_days} days. They hold what another stretch of "
        "weather would change, not what another training would: that is the spread over seeds."
    )
    training = splits(run, len(data))["train"]
    years = len(training) / 365.25
    yield (
        f"Climatology and the mean field come from the {years:.1f} training years; climatology is "
        "smoothed over the days of the year, with weights that fall to 0 at "
        f"±{run.evaluation.climatology_half_window} days."
    )
    if len({member.run.seed for member in study.members}) == 1:
        yield (
            "One training of each model: the spread between trainings is not known, so a verdict "
            "is about these weights, not about the method."
        )
    elif single := [v for v, n in _trainings(study).items() if n == 1]:
        yield (
            f"One training of {', '.join(map(in_sentence, single))}: verdicts on them are about "
            "these weights, not about the method."
        )
    if study.lost:
        lost = "; ".join(f"{trial}: {reason}" for trial, reason in study.lost.items())
        yield f"Trainings without scores, so means and spreads are over fewer: {lost}."
    if data.provenance["licence"]:
        yield "Data: " + " ".join(str(data.provenance["licence"]).split())


def _trainings(study: Study) -> Counter[str]:
    """Return how often each variant was trained."""
    return Counter(member.variant for member in study.members)


def _mask_note(run: Run, grid: tuple[int, int]) -> str:
    """Say how sparse the masked days are: masks fall on views, which may be finer than the data."""
    mask = run.downstream.mask
    low, high = mask.ratio
    hidden = f"{100 * high:.0f} %" if low == high else f"{100 * low:.0f} to {100 * high:.0f} %"
    view, field = ("x".join(map(str, sides)) for sides in (run.views.crop, grid))
    kind = "" if mask.shape.kind == "points" else f" in the shape of {mask.shape.kind}"
    if mask.on == "grid":
        return (
            f"Masks fall on the data's own {field} grid, before resizing, which is not as "
            f"published: {hidden} of each variable's {math.prod(grid):,} values are hidden{kind}."
        )
    values, points = math.prod(run.views.crop), math.prod(grid)
    left = round((1 - high) * values)
    published = kind or ", as published"
    note = f"Masks fall on the {view} view, after resizing{published}: with {hidden} hidden, "
    if left >= points and not kind:
        return note + (
            f"the {left:,} values left of each variable still determine its {field} field of "
            f"{points:,}. Sparser observations are a harder task."
        )
    fewest = "" if low == high else "as few as "
    return note + (
        f"{fewest}{left:,} of each variable's {values:,} values are left; its {field} field has "
        f"{points:,}."
    )
