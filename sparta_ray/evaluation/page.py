"""The report of a run: its results turned into sentences, tables and figures on one page."""

import math
from collections.abc import Iterator
from pathlib import Path

import yaml

from sparta_ray.config import ConfigError, differences, to_tree
from sparta_ray.data.store import Store
from sparta_ray.evaluation.findings import findings
from sparta_ray.evaluation.history import training_machines
from sparta_ray.evaluation.page_figures import page_figures
from sparta_ray.evaluation.report import ReportContext, write_report
from sparta_ray.evaluation.results import load_results
from sparta_ray.evaluation.score_record import Score
from sparta_ray.models.sparta import parameter_count
from sparta_ray.run import Run, downstream_splits, schedule, splits
from sparta_ray.run_folder import RunFolder
from sparta_ray.training.checkpoint import load_model

_STATED = ("name", "folder", "scaling", "data.source", "data.store", "seed")
"""Settings that are no part of the method, and are not listed as differing from it."""


def write_page(run: Run) -> str:
    """Write the report of an evaluated run and return the path of its page.

    Raises:
        ConfigError: The run has not been evaluated.
    """
    folder = RunFolder(run.path)
    if not folder.exists("evaluation/scores.json"):
        raise ConfigError(f"{run.path} is not evaluated; run jobs/evaluate.py first")
    results, store = load_results(folder), Store(run.data.store)
    context = ReportContext(
        title=f"SPARTA run “{run.name}”",
        summary=findings(results.scores),
        run=_facts(run, store, folder),
        shortened=list(_shortened(run)),
        notes=list(_notes(run, store)),
        scores=results.scores,
        tabled=[score for score in results.scores if _in_tables(run, score)],
        figures=list(page_figures(run, folder, results)),
        simulated=bool(store.provenance["simulated"]),
    )
    return _publish(folder, context)


def _in_tables(run: Run, score: Score) -> bool:
    """Return whether a score's lead time is one that tables show."""
    if score.lead_days is None or score.setting is None:
        return True
    last = run.downstream.forecast[score.setting].lead_days
    return score.lead_days in run.evaluation.table_leads(last)


def _publish(folder: RunFolder, context: ReportContext) -> str:
    """Write the report beside the run, wherever that is."""
    if folder.is_local:
        return str(write_report(Path(folder.child("report")), context))
    import tempfile

    with tempfile.TemporaryDirectory() as local:
        for file in write_report(Path(local), context).parent.iterdir():
            folder.write(f"report/{file.name}", file.read_bytes())
    return folder.child("report", "index.html")


def _facts(run: Run, store: Store, folder: RunFolder) -> dict[str, str]:
    """Return what was run, on what data, with what."""
    record = yaml.safe_load(folder.read("run.yaml"))
    facts = {
        "Data": f"{store.provenance['title']}: {store.days[0]} to {store.days[-1]}, "
        f"{len(store):,} days, {store.grid[0]}x{store.grid[1]} points",
        "Variables": ", ".join(store.variables),
        "Source": str(store.provenance["source"]),
        "Data fingerprint": store.fingerprint,
    }
    for name, part in splits(run, len(store)).items():
        facts[f"{name.capitalize()} days"] = _span(store, part.start, part.stop)
    for name, part in downstream_splits(run, len(store)).items():
        facts[f"Downstream {name} days"] = _span(store, part.start, part.stop)
    for stage in run.training.stages:
        plan = schedule(run, stage, len(store))
        facts[f"Stage {stage.kind}"] = (
            f"{plan.epochs} epochs, {plan.epochs * plan.train_steps:,} steps of up to "
            f"{run.sampling.anchors_per_batch * run.sampling.rows_per_anchor} rows"
        )
    for kind in run.models:
        _, model = load_model(folder.child("models", kind))
        facts[f"Parameters of {kind}"] = f"{parameter_count(model):,}"
    facts["Trained on"] = "; ".join(training_machines(folder))
    facts["Seed"] = str(run.seed)
    facts["Code"] = f"revision {record['git_revision']}; " + ", ".join(
        f"{name} {version}" for name, version in record["versions"].items()
    )
    return facts


def _span(store: Store, start: int, stop: int) -> str:
    return f"{store.days[start]} to {store.days[stop - 1]} ({stop - start:,} days)"


def _shortened(run: Run) -> Iterator[tuple[str, str, str]]:
    """List every setting of the method that differs from the published one."""
    left_out = [name for name in Run().downstream.forecast if name not in run.downstream.forecast]
    absent = tuple(f"downstream.forecast.{name}" for name in left_out)
    yield from ((path, "trained", "left out") for path in absent)
    for line in differences(to_tree(Run()), to_tree(run)):
        path, _, values = line.partition(": ")
        published, _, ours = values.partition(" -> ")
        if not path.startswith((*_STATED, *absent)):
            yield path, published.strip("'"), ours.strip("'")


def _notes(run: Run, store: Store) -> Iterator[str]:
    yield _mask_note(run, store.grid)
    yield (
        "RRMSE pools all variables in their own units, so geopotential dominates it; judge by the "
        "per-variable scores."
    )
    training = splits(run, len(store))["train"]
    years = len(training) / 365.25
    yield (
        f"Climatology and the mean field come from the {years:.1f} training years; climatology is "
        "smoothed over the days of the year, with weights that fall to 0 at "
        f"±{run.evaluation.climatology_half_window} days."
    )
    if len(run.downstream.seeds) == 1:
        yield "One seed: the spread between seeds is not known, so small differences mean nothing."
    if store.provenance["licence"]:
        yield "Data: " + " ".join(str(store.provenance["licence"]).split())


def _mask_note(run: Run, grid: tuple[int, int]) -> str:
    """Say how sparse the masked days are: masks fall on views, which may be finer than the data."""
    low, high = run.downstream.mask.ratio
    hidden = f"{100 * high:.0f} %" if low == high else f"{100 * low:.0f} to {100 * high:.0f} %"
    values, points = math.prod(run.views.crop), math.prod(grid)
    left = round((1 - high) * values)
    view, field = ("x".join(map(str, sides)) for sides in (run.views.crop, grid))
    note = f"Masks fall on the {view} view, after resizing, as published: with {hidden} hidden, "
    if left >= points:
        return note + (
            f"the {left:,} values left of each variable still determine its {field} field of "
            f"{points:,}. Sparser observations are a harder task."
        )
    fewest = "" if low == high else "as few as "
    return note + (
        f"{fewest}{left:,} of each variable's {values:,} values are left, fewer than the "
        f"{points:,} of its {field} field."
    )
