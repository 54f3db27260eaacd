"""Forecasts from every test window, lead by lead, beside their baselines.

Legend: W windows, L look-back days, F leads, D embedding.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import xarray as xr

from sparta_ray.data.store.day_blocks import day_blocks
from sparta_ray.downstream.forecast.forecaster import ForecastContext, Forecaster
from sparta_ray.downstream.forecast.seasonal_cycle import year_phase
from sparta_ray.downstream.forecast.windows import window_starts
from sparta_ray.evaluation.results import Results
from sparta_ray.evaluation.setup import Setup
from sparta_ray.evaluation.truth import Days
from sparta_ray.metrics.case_sums import Cases
from sparta_ray.metrics.fields import FIELD_METRICS
from sparta_ray.metrics.records import Subject, bound_of
from sparta_ray.metrics.scoring import CURVE_METRICS, FieldSums
from sparta_ray.run.trial import Trial
from sparta_ray.training.stages import ModelKind

FieldsAtLead = Callable[[int], xr.DataArray]
"""Gives the fields that some windows forecast at a lead."""

Forecasts = Callable[[Days], FieldsAtLead]
"""Forecasts from windows with these starts, counted as of `test_windows`: a few at a time."""

MAP_LEAD, ERROR_LEAD = 10, 50
"""Leads that maps show, of a forecast and of its errors (Figures 11, 12 and 15)."""


def evaluate_forecast(setup: Setup, trial: Trial, model: Forecaster) -> Results:
    """Forecast from every test window with one trained forecaster."""
    forecast = partial(_forecast, setup, trial, model)
    subject = Subject("forecast", trial.model, trial.setting, trial.seed)
    results = _scores_by_lead(setup, trial.setting, subject, forecast)
    last = setup.run.downstream.forecast[trial.setting].lead_days
    results.arrays = {
        f"map-{trial.name}": _panels(setup, trial.setting, forecast, min(MAP_LEAD, last)),
        f"errors-{trial.name}": _panels(setup, trial.setting, forecast, min(ERROR_LEAD, last)),
    }
    return results


def evaluate_forecast_baselines(setup: Setup, setting: str) -> Results:
    """Score persistence of the last known day, and climatology, for one setting's windows.

    Where one of them has no value, the last known day's being missing, it is not scored.
    """

    def persistence(starts: Days) -> FieldsAtLead:
        last_known = setup.truth.fields(_valid_days(setup, setting, 0, starts))
        return lambda lead: last_known

    def climatology(starts: Days) -> FieldsAtLead:
        return lambda lead: setup.truth.climatology(_valid_days(setup, setting, lead, starts))

    results = Results()
    candidates: dict[str, Forecasts] = {"persistence": persistence, "climatology": climatology}
    for model, forecast in candidates.items():
        subject = Subject("forecast", model, setting)
        results.extend(_scores_by_lead(setup, setting, subject, forecast, may_lack_values=True))
    return results


def evaluate_forecast_bound(setup: Setup, kind: ModelKind, setting: str) -> Results:
    """Score what the decoder makes of the days' own masked embeddings, a forecast's targets.

    It is the perfect-forecast bound: a forecast of embeddings that is right in every component
    scores exactly this.
    """
    last = setup.run.downstream.forecast[setting].lead_days

    def perfect(starts: Days) -> FieldsAtLead:
        first, final = (_valid_days(setup, setting, lead, starts) for lead in (1, last))
        decoded = setup.reconstructed(kind, np.arange(first[0], final[-1] + 1))
        return lambda lead: decoded.isel(
            window=_valid_days(setup, setting, lead, starts) - first[0]
        )

    return _scores_by_lead(setup, setting, Subject("forecast", bound_of(kind), setting), perfect)


def test_windows(setup: Setup, setting: str) -> Days:
    """Return the starts of a setting's windows, counted within the downstream test days."""
    config = setup.run.downstream.forecast[setting]
    return window_starts(
        len(setup.parts["test"]), config.look_back, config.lead_days, config.stride
    )


def _valid_days(setup: Setup, setting: str, lead: int, starts: Days | None = None) -> Days:
    """Return the days that forecasts at a lead are for; lead 0 is the last known day.

    Args:
        setup: Of the run.
        setting: Of the forecast.
        lead: Days ahead.
        starts: Of the windows; None for all of them.
    """
    config = setup.run.downstream.forecast[setting]
    starts = test_windows(setup, setting) if starts is None else starts
    return setup.parts["test"].start + starts + config.look_back - 1 + lead


def _forecast(setup: Setup, trial: Trial, model: Forecaster, starts: Days) -> FieldsAtLead:
    """Return the function of the lead that gives a forecaster's fields for some test windows."""
    config = setup.run.downstream.forecast[trial.setting]
    h_TD = setup.masked(trial.model).to(setup.device)
    past_WLD = torch.stack([h_TD[start : start + config.look_back] for start in starts])
    last_W = _valid_days(setup, trial.setting, 0, starts)
    past_WL = last_W[:, None] - np.arange(config.look_back)[::-1]

    def phase_of(days: Days) -> torch.Tensor:
        return year_phase(setup.store.days[days]).to(setup.device)

    context = ForecastContext(
        setup.latents(trial.model).embedder,
        phase_of(past_WL),
        lambda lead: phase_of(_valid_days(setup, trial.setting, lead, starts)),
        setup.store.statistics.std,
        setup.store.grid,
    )
    made = model.forecast(past_WLD, config.lead_days, context)

    def fields(lead: int) -> xr.DataArray:
        labelled = setup.truth.labelled(made(lead))
        if not model.departs_from_climatology:
            return labelled
        return setup.truth.climatology(_valid_days(setup, trial.setting, lead, starts)) + labelled

    return fields


def _scores_by_lead(
    setup: Setup,
    setting: str,
    subject: Subject,
    forecast: Forecasts,
    may_lack_values: bool = False,
) -> Results:
    """Score a few windows at a time, lead by lead, so that only their fields are in memory.

    Leads of tables have every score, window by window; those between only what curves show.
    """
    config = setup.run.downstream.forecast[setting]
    leads = range(1, config.lead_days + 1)
    in_tables = setup.run.evaluation.table_leads(config.lead_days)
    sums = {
        lead: FieldSums(FIELD_METRICS if lead in in_tables else CURVE_METRICS) for lead in leads
    }
    for starts in day_blocks(test_windows(setup, setting), config.stride):
        fields = forecast(starts)
        for lead in leads:
            days, made = _valid_days(setup, setting, lead, starts), fields(lead)
            truth, anomalies = setup.truth.fields(days), None
            if may_lack_values:
                truth = truth.where(made.notnull())
            if lead in in_tables and subject.model != "climatology":
                anomalies = setup.truth.climatology(days)
            sums[lead].update(made, truth, setup.truth.limits, anomalies)
    results = Results()
    for lead in leads:
        if lead in in_tables:
            dates = setup.since_1970(_valid_days(setup, setting, lead))
            results.add(sums[lead].sums(Cases(subject, dates, lead)))
        else:
            results.add(sums[lead].scores(subject, lead))
    return results


def _panels(setup: Setup, setting: str, forecast: Forecasts, lead: int) -> xr.DataArray:
    """Return truth, forecast and the forecast's error of the middle window."""
    starts = test_windows(setup, setting)
    starts = starts[[len(starts) // 2]]
    days = _valid_days(setup, setting, lead, starts)
    truth = setup.truth.fields(days)[0]
    made = forecast(starts)(lead)[0]
    layers = {"truth": truth, "forecast": made, "error": made - truth}
    panels = xr.concat(list(layers.values()), dim="panel").assign_coords(panel=list(layers))
    panels.attrs = {"day": str(setup.store.days[days[0]]), "lead": lead}
    return panels
