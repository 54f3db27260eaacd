"""Forecasts from every test window, lead by lead, beside their baselines.

Legend: W windows, L look-back days, F leads, D embedding.
"""

from collections.abc import Callable

import numpy as np
import torch
import xarray as xr

from sparta_ray.downstream.forecast.forecaster import ForecastContext, Forecaster
from sparta_ray.downstream.forecast.seasonal_cycle import year_phase
from sparta_ray.downstream.forecast.windows import window_starts
from sparta_ray.evaluation.results import Results
from sparta_ray.evaluation.setup import Setup
from sparta_ray.evaluation.truth import Days
from sparta_ray.metrics.case_sums import Cases
from sparta_ray.metrics.records import Subject, bound_of
from sparta_ray.metrics.scoring import field_scores, field_sums
from sparta_ray.run.trial import Trial
from sparta_ray.training.stages import ModelKind

FieldsAtLead = Callable[[int], xr.DataArray]

MAP_LEAD, ERROR_LEAD = 10, 50
"""Leads that maps show, of a forecast and of its errors (Figures 11, 12 and 15)."""


def evaluate_forecast(setup: Setup, trial: Trial, model: Forecaster) -> Results:
    """Forecast from every test window with one trained forecaster."""
    forecast = _forecast(setup, trial, model)
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
    last_known = setup.truth.fields(_valid_days(setup, setting, lead=0))
    candidates: dict[str, FieldsAtLead] = {
        "persistence": lambda lead: last_known,
        "climatology": lambda lead: setup.truth.climatology(_valid_days(setup, setting, lead)),
    }
    results = Results()
    for model, fields in candidates.items():
        subject = Subject("forecast", model, setting)
        results.extend(_scores_by_lead(setup, setting, subject, fields, may_lack_values=True))
    return results


def evaluate_forecast_bound(setup: Setup, kind: ModelKind, setting: str) -> Results:
    """Score what the decoder makes of the days' own masked embeddings, a forecast's targets.

    It is the perfect-forecast bound: a forecast of embeddings that is right in every component
    scores exactly this.
    """
    decoded = setup.reconstructed(kind)
    first = setup.parts["test"].start

    def fields(lead: int) -> xr.DataArray:
        return decoded.isel(window=_valid_days(setup, setting, lead) - first)

    return _scores_by_lead(setup, setting, Subject("forecast", bound_of(kind), setting), fields)


def test_windows(setup: Setup, setting: str) -> Days:
    """Return the starts of a setting's windows, counted within the downstream test days."""
    config = setup.run.downstream.forecast[setting]
    return window_starts(
        len(setup.parts["test"]), config.look_back, config.lead_days, config.stride
    )


def _valid_days(setup: Setup, setting: str, lead: int) -> Days:
    """Return the days that forecasts at a lead are for; lead 0 is the last known day."""
    config = setup.run.downstream.forecast[setting]
    starts = test_windows(setup, setting)
    return setup.parts["test"].start + starts + config.look_back - 1 + lead


def _forecast(setup: Setup, trial: Trial, model: Forecaster) -> FieldsAtLead:
    """Return the function of the lead that gives a forecaster's fields for every test window."""
    config = setup.run.downstream.forecast[trial.setting]
    h_TD = setup.masked(trial.model).to(setup.device)
    starts = test_windows(setup, trial.setting)
    past_WLD = torch.stack([h_TD[start : start + config.look_back] for start in starts])
    last_W = _valid_days(setup, trial.setting, lead=0)
    past_WL = last_W[:, None] - np.arange(config.look_back)[::-1]

    def phase_of(days: Days) -> torch.Tensor:
        return year_phase(setup.store.days[days]).to(setup.device)

    context = ForecastContext(
        setup.latents(trial.model).embedder,
        phase_of(past_WL),
        lambda lead: phase_of(_valid_days(setup, trial.setting, lead)),
        setup.store.statistics.std,
        setup.store.grid,
    )
    made = model.forecast(past_WLD, config.lead_days, context)

    def fields(lead: int) -> xr.DataArray:
        labelled = setup.truth.labelled(made(lead))
        if not model.departs_from_climatology:
            return labelled
        return setup.truth.climatology(_valid_days(setup, trial.setting, lead)) + labelled

    return fields


def _scores_by_lead(
    setup: Setup,
    setting: str,
    subject: Subject,
    fields: FieldsAtLead,
    may_lack_values: bool = False,
) -> Results:
    """Score each lead on its own, so that no more than one lead's fields are in memory.

    Leads of tables have every score, window by window; those between only what curves show.
    """
    results = Results()
    last = setup.run.downstream.forecast[setting].lead_days
    in_tables = setup.run.evaluation.table_leads(last)
    for lead in range(1, last + 1):
        days, made = _valid_days(setup, setting, lead), fields(lead)
        truth = setup.truth.fields(days)
        if may_lack_values:
            truth = truth.where(made.notnull())
        if lead not in in_tables:
            results.add(field_scores(subject, made, truth, lead))
            continue
        windows = Cases(subject, setup.since_1970(days), lead)
        anomalies = None if subject.model == "climatology" else setup.truth.climatology(days)
        results.add(field_sums(windows, made, truth, setup.truth.limits, anomalies))
    return results


def _panels(setup: Setup, setting: str, forecast: FieldsAtLead, lead: int) -> xr.DataArray:
    """Return truth, forecast and the forecast's error of the middle window."""
    window = len(test_windows(setup, setting)) // 2
    days = _valid_days(setup, setting, lead)[[window]]
    truth = setup.truth.fields(days)[0]
    made = forecast(lead)[window]
    layers = {"truth": truth, "forecast": made, "error": made - truth}
    panels = xr.concat(list(layers.values()), dim="panel").assign_coords(panel=list(layers))
    panels.attrs = {"day": str(setup.store.days[days[0]]), "lead": lead}
    return panels
