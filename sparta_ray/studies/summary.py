"""The results of a study in one table: the mean and standard deviation of each score."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sparta_ray.base.folder import RunFolder
from sparta_ray.base.mean_and_std import Key, mean_and_std, write_table
from sparta_ray.evaluation.results import is_evaluated, load_whole_scores
from sparta_ray.run.settings import Run
from sparta_ray.studies.config import StudyConfig
from sparta_ray.studies.folder import StudyFolder, epochs_of, was_stopped
from sparta_ray.studies.sweep import SweepConfig
from sparta_ray.studies.trial import StudyTrial

_SWEEP = ("variant", "judged by", "epochs")
_TRAINING = ("variant", "stage", "measure")
_SCORES = ("variant", "task", "model", "setting", "lead", "metric", "units")

Rows = Iterator[tuple[Key, float]]


def write_summary(study: StudyConfig, trials: Sequence[StudyTrial], folder: StudyFolder) -> str:
    """Write ``summary.md``, ``.csv`` and ``.json``; return the table as Markdown.

    The table of a sweep has its metric. That of a study which trains only has every measure of
    each stage's last epoch. Otherwise it has the scores of whole fields. Means are over the seeds
    of the trainings and of the downstream tasks.
    """
    headings, values = _what_is_compared(study, trials)
    return write_table(folder, "summary", mean_and_std(headings, values))


def _what_is_compared(study: StudyConfig, trials: Sequence[StudyTrial]) -> tuple[Key, Rows]:
    if study.sweep is not None:
        return _SWEEP, _swept(study.sweep, trials)
    if study.until in ("train", "downstream"):
        return _TRAINING, _last_epochs(trials)
    return _SCORES, _scores(trials)


def _scores(trials: Sequence[StudyTrial]) -> Rows:
    """Yield the models' scores of whole fields at the leads that tables show."""
    for trial in trials:
        folder = RunFolder(trial.run.path)
        if not is_evaluated(folder, trial.run.evaluation):
            continue
        for score in map(asdict, load_whole_scores(folder)):
            of_a_model = score["model"].startswith(trial.run.models)
            if of_a_model and score["variable"] is None and _is_tabled(trial.run, score):
                lead = score["lead_days"]
                named = {**score, "variant": trial.variant, "lead": lead}
                yield tuple(_text(named[heading]) for heading in _SCORES), score["value"]


def _is_tabled(run: Run, score: Mapping[str, Any]) -> bool:
    """Return whether a score's lead time is one that tables show."""
    lead, forecast = score["lead_days"], run.downstream.forecast.get(score["setting"])
    if lead is None or forecast is None:
        return True
    return lead in run.evaluation.table_leads(forecast.lead_days)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _swept(sweep: SweepConfig, trials: Sequence[StudyTrial]) -> Rows:
    """Yield each variant's last value of the metric, with its number of epochs, best first."""
    name = f"{sweep.stage}/{sweep.metric}"
    last = []
    for trial in trials:
        folder = RunFolder(trial.run.path)
        epochs = [epoch for epoch in epochs_of(folder, sweep.stage) if name in epoch]
        if epochs:
            ended = " (stopped)" if was_stopped(folder) else ""
            last.append(((trial.variant, name, f"{epochs[-1]['epochs']}{ended}"), epochs[-1][name]))
    yield from sorted(last, key=lambda row: row[1], reverse=sweep.mode == "max")


def _last_epochs(trials: Sequence[StudyTrial]) -> Rows:
    """Yield every measure of each stage's last epoch."""
    for trial in trials:
        for stage in trial.run.training.stages:
            epochs = epochs_of(RunFolder(trial.run.path), stage.kind)
            for name, value in (epochs[-1] if epochs else {}).items():
                if name != "epochs":
                    yield (trial.variant, stage.kind, name.partition("/")[2]), value
