"""The forecast: embeddings of past days to the fields of days ahead, by any forecaster."""

import math
from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import nn

from sparta_ray.base.config import to_tree
from sparta_ray.base.durations import StepLength
from sparta_ray.data.plan.splits import Split
from sparta_ray.data.preparation.streaming import open_store
from sparta_ray.data.store.store import Store
from sparta_ray.downstream.forecast.forecast import ForecastConfig
from sparta_ray.downstream.forecast.forecaster import ForecastData, Forecaster, KnownDays
from sparta_ray.downstream.forecast.seasonal_cycle import year_phase
from sparta_ray.evaluation.forecasting import (
    evaluate_forecast,
    evaluate_forecast_baselines,
    evaluate_forecast_bound,
)
from sparta_ray.evaluation.part import Part
from sparta_ray.evaluation.results import Results
from sparta_ray.evaluation.setup import Setup
from sparta_ray.figures.curves import score_by_lead, variable_scores_by_lead
from sparta_ray.figures.display import in_sentence, setting_name
from sparta_ray.figures.maps import field_maps
from sparta_ray.figures.report_figure import ReportFigure
from sparta_ray.metrics.records import Score, is_bound
from sparta_ray.run.settings import Run
from sparta_ray.run.trial import Trial
from sparta_ray.tasks.task import DownstreamTask, Training
from sparta_ray.training.stages import ModelKind


class Forecast(DownstreamTask):
    """Forecasts of fields, one form for each forecast setting of the run."""

    name = "forecast"
    heading = "Forecast"
    question = "How far ahead is a forecast in embedding space useful?"
    limits = ("It may lose to climatology or persistence: see the report before using it.",)

    def settings(self, run: Run) -> Mapping[str, ForecastConfig]:
        """Return the run's forecast settings."""
        return run.downstream.forecast

    def network(self, run: Run, setting: str) -> nn.Module:
        """Return the untrained forecaster of a setting."""
        store = open_store(run.data.store)
        points = len(store.variables) * math.prod(store.grid)
        return self.settings(run)[setting].build(run.model.embedding, points)

    def train(self, training: Training) -> nn.Module:
        """Train a forecaster on embeddings of masked days."""
        mask, latents, parts = training.run.downstream.mask, training.latents, training.parts
        config = self.settings(training.run)[training.trial.setting]
        validation = latents.of_epochs(parts["validation"], mask, "validation")
        data = ForecastData(
            latents.of_epochs(parts["train"], mask, "train"),
            _known(latents.store, parts["train"], config),
            validation(0).to(training.device),
            _known(latents.store, parts["validation"], config),
            validation,
        )
        return config.train(data, training.seed, training.on_epoch)

    def evaluate(self, setup: Setup, trial: Trial) -> Results:
        """Score its forecasts from every test window."""
        model = self.load(setup, trial)
        assert isinstance(model, Forecaster)
        return evaluate_forecast(setup, trial, model)

    def bounds(self, run: Run, kind: ModelKind) -> Iterator[Part]:
        """Yield the perfect-forecast bound of each setting."""
        for setting, config in self.settings(run).items():
            score = partial(evaluate_forecast_bound, kind=kind, setting=setting)
            yield Part(f"bound {kind} forecast {setting}", score, (kind,), None, to_tree(config))

    def baselines(self, run: Run) -> Iterator[Part]:
        """Yield persistence and climatology of each setting's windows."""
        for setting, config in self.settings(run).items():
            score = partial(evaluate_forecast_baselines, setting=setting)
            yield Part(f"baselines forecast {setting}", score, settings=to_tree(config))

    def figures(self, run: Run, results: Results) -> Iterator[ReportFigure]:
        """Yield a map of each trial, and the scores by lead time."""
        for kind in run.models:
            for trial in self.trials(run, kind):
                yield from _maps(trial, results, run.data.length)
        yield from lead_figures(results, run.data.length)

    def study_figures(self, results: Results, step: StepLength) -> Iterator[ReportFigure]:
        """Yield the scores of all runs at some leads."""
        yield from lead_figures(results, step, leads_apart=5)


def _known(store: Store, part: Split, config: ForecastConfig) -> KnownDays:
    """Return the season of a split's days, and their fields if the forecaster asks for those."""
    days = np.arange(part.start, part.stop)
    fields_TG = None
    if config.needs_fields:
        fields_TG = torch.from_numpy(store.read_standardised(days)).flatten(1)
    return KnownDays(year_phase(store.days[days]), fields_TG)


def _maps(trial: Trial, results: Results, step: StepLength) -> Iterator[ReportFigure]:
    if (panels := results.arrays.get(f"map-{trial.name}")) is not None:
        day, lead = panels.attrs["day"], step.lasting(int(panels.attrs["lead"]))
        name = in_sentence(trial.model)
        yield ReportFigure(
            "forecast",
            f"A forecast {lead} ahead: {name}, seed {trial.seed}",
            f"For {day}; {setting_name(trial.setting, step)}.",
            field_maps(panels, f"Forecast of {day}, {lead} ahead, by {name}"),
            "Maps of truth, forecast and error for every variable.",
            raster=True,
        )


def lead_figures(
    results: Results, step: StepLength, leads_apart: int = 1
) -> Iterator[ReportFigure]:
    """Yield the scores of each forecast setting by lead time, of all variables and of each.

    Args:
        results: Of a run or a study.
        step: How long a step is.
        leads_apart: Draw the first lead and one in so many, where lines are many too; the bounds
            are left out then.
    """
    scores = pd.DataFrame(
        {
            "label": score.model,
            "lead": step.in_units(score.lead_days or 0),
            "value": score.value,
            "metric": score.metric,
            "setting": score.setting,
            "variable": score.variable,
        }
        for score in results.scores
        if score.task == "forecast" and _is_drawn(score, leads_apart)
    )
    if scores.empty:
        return
    for setting, part in scores.groupby("setting"):
        title = setting_name(str(setting), step)
        joint = part[part["metric"] == "rrmse"]
        if not joint.empty:
            yield ReportFigure(
                "forecast",
                f"All variables together ({title})",
                "Forecasts from every test window; lower is better.",
                score_by_lead(joint, "rrmse", "%", step.unit),
                "RRMSE by lead time of the models, persistence and climatology.",
            )
        yield ReportFigure(
            "forecast",
            f"Variable by variable ({title})",
            "Area-weighted root mean squared error.",
            variable_scores_by_lead(part[part["metric"] == "rmse"], "rmse", time_unit=step.unit),
            "RMSE by lead time for each variable.",
        )
        anomalies = part[part["metric"] == "acc"]
        if not anomalies.empty:
            yield ReportFigure(
                "forecast",
                f"Anomalies of each variable ({title})",
                "Correlation with the true anomalies from climatology, at the leads of the tables; "
                "0 where they are unrelated.",
                variable_scores_by_lead(anomalies, "acc", si_units=False, time_unit=step.unit),
                "ACC by lead time for each variable.",
            )


def _is_drawn(score: Score, leads_apart: int) -> bool:
    if leads_apart == 1:
        return True
    lead = score.lead_days or 0
    return not is_bound(score.model) and (lead == 1 or lead % leads_apart == 0)
