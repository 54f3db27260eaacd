"""Findings: the scores of every task in plain sentences, whichever model is best."""

from collections.abc import Iterator, Sequence
from statistics import fmean

from sparta_ray.base.durations import DAY, StepLength
from sparta_ray.figures.display import in_sentence, setting_name
from sparta_ray.metrics.catalogue import metric_of
from sparta_ray.metrics.records import Score, is_baseline
from sparta_ray.tasks.registry import DOWNSTREAM_TASKS


def findings(scores: Sequence[Score], step: StepLength = DAY) -> list[str]:
    """Return one sentence for each task that was evaluated.

    Args:
        scores: Of a run or a study.
        step: How long a step of the data is.
    """
    table = _Means(scores, step)
    return [
        *_contrastive(table),
        *_reconstruction(table),
        *_forecast(table),
        *_generation(table),
        *_classification(table),
        *_embeddings(table),
        *(sentence for task in DOWNSTREAM_TASKS for sentence in task.findings(scores)),
    ]


class _Means:
    """Scores averaged over seeds, looked up by what they are."""

    def __init__(self, scores: Sequence[Score], step: StepLength):
        self.scores, self.step = scores, step

    def models(self, task: str, metric: str) -> dict[str, float]:
        """Return each model's mean of a score that has neither lead nor variable."""
        found: dict[str, list[float]] = {}
        for score in self.scores:
            if (score.task, score.metric) == (task, metric) and score.lead_days is None:
                found.setdefault(score.model, []).append(score.value)
        return {model: fmean(values) for model, values in found.items()}

    def settings(self) -> list[str]:
        """Return the forecast settings."""
        names = dict.fromkeys(score.setting for score in self.scores if score.task == "forecast")
        return [name for name in names if name is not None]

    def by_lead(self, setting: str) -> dict[int, dict[str, float]]:
        """Return the RRMSE of each model at each lead of a forecast setting that all have it at."""
        found: dict[int, dict[str, list[float]]] = {}
        for score in self.scores:
            if (score.task, score.metric, score.setting) == ("forecast", "rrmse", setting):
                assert score.lead_days is not None
                models = found.setdefault(score.lead_days, {})
                models.setdefault(score.model, []).append(score.value)
        everyone = {model for models in found.values() for model in models}
        return {
            lead: {model: fmean(values) for model, values in models.items()}
            for lead, models in sorted(found.items())
            if models.keys() == everyone
        }


def _contrastive(table: _Means) -> Iterator[str]:
    chance = table.models("contrastive", "guessing")
    for loss in dict.fromkeys(s.metric for s in table.scores if s.task == "contrastive"):
        if loss == "guessing":
            continue
        shown = ", ".join(
            f"{value:.2f}"
            + (f" ({chance[model]:.2f})" if loss == "nt_xent" else "")
            + f" for {in_sentence(model)}"
            for model, value in table.models("contrastive", loss).items()
        )
        name = f"loss ({metric_of(loss).label})"
        if loss == "nt_xent":
            name = "NT-Xent, with the chance level in brackets,"
        yield f"Contrastive pretraining: the validation {name} is {shown}."


def _reconstruction(table: _Means) -> Iterator[str]:
    error = table.models("reconstruction", "standardised error")
    if error:
        ranked = ", ".join(
            f"{in_sentence(model)} {value:.2f}"
            for model, value in sorted(error.items(), key=lambda item: item[1])
        )
        yield (
            f"Reconstruction of masked test {table.step.nouns}, by squared error summed over "
            f"standardised variables, best first: {ranked}."
        )


def _forecast(table: _Means) -> Iterator[str]:
    step = table.step
    for setting in table.settings():
        leads, name = table.by_lead(setting), setting_name(setting, step)
        if not leads:
            yield (
                f"Forecast ({name}): there is no RRMSE to compare; look at the "
                "RMSE of each variable."
            )
            continue
        first, last = min(leads), max(leads)
        models = [m for m in leads[last] if not is_baseline(m)]
        if len(models) > 2:
            yield _many_forecasts(name, leads, models, step)
            continue
        for model in models:
            yield (
                f"Forecast ({name}): {in_sentence(model)} has an RRMSE of "
                f"{leads[first][model]:.2f} % at {step.lasting(first)} and "
                f"{leads[last][model]:.2f} % at {step.lasting(last)}; persistence "
                f"{leads[first]['persistence']:.2f} and {leads[last]['persistence']:.2f} %, "
                f"climatology {leads[first]['climatology']:.2f} and "
                f"{leads[last]['climatology']:.2f} %. " + _where_below(leads, model, step)
            )


def _many_forecasts(
    name: str, leads: dict[int, dict[str, float]], models: Sequence[str], step: StepLength
) -> str:
    """Return a sentence on all models, and one on those that beat both baselines at some lead."""
    first, last = min(leads), max(leads)
    ends = ", ".join(
        f"{in_sentence(model)} {leads[first][model]:.2f} and {leads[last][model]:.2f} %"
        for model in (*models, "persistence", "climatology")
    )
    ahead = {model: _leads_below(leads, model) for model in models}
    lower = ", ".join(
        f"{in_sentence(model)} at {len(leads_below)} of {len(leads)} lead times"
        for model, leads_below in ahead.items()
        if leads_below
    )
    return (
        f"Forecast ({name}), RRMSE at {step.lasting(first)} and {step.lasting(last)}: "
        f"{ends}. Below both baselines: {lower or 'none, at any lead time'}."
    )


def _leads_below(leads: dict[int, dict[str, float]], model: str) -> list[int]:
    return [
        lead
        for lead, values in leads.items()
        if values[model] < min(values["persistence"], values["climatology"])
    ]


def _where_below(leads: dict[int, dict[str, float]], model: str, step: StepLength) -> str:
    ahead = _leads_below(leads, model)
    if not ahead:
        return "It is not below both baselines at any lead time."
    return (
        f"It is below both baselines at {len(ahead)} of {len(leads)} lead times, first at "
        f"{step.lasting(ahead[0])}."
    )


def _generation(table: _Means) -> Iterator[str]:
    errors = table.models("diffusion", "rrmse")
    generated = {model: v for model, v in errors.items() if not is_baseline(model)}
    if generated:
        shown = ", ".join(f"{v:.2f} % for {in_sentence(m)}" for m, v in generated.items())
        yield (
            f"Generation from masked {table.step.nouns}: the RRMSE of the decoded mean sample is "
            f"{shown}."
        )


def _classification(table: _Means) -> Iterator[str]:
    accuracy = table.models("classification", "accuracy")
    learnt = {model: v for model, v in accuracy.items() if model != "majority"}
    if learnt:
        shown = ", ".join(f"{100 * v:.0f} % for {in_sentence(m)}" for m, v in learnt.items())
        majority = accuracy.get("majority", 0.25)
        yield (
            f"Season of a masked {table.step.noun}: the share classified correctly is {shown}. "
            f"Always choosing the most common season would be correct for {100 * majority:.0f} %."
        )


def _embeddings(table: _Means) -> Iterator[str]:
    raw = table.models("latent space", "temporal distance")
    relative = table.models("latent space", "relative temporal distance")
    if len(raw) < 2:
        return
    smoothest_raw, smoothest = (
        min(raw, key=raw.__getitem__),
        min(relative, key=relative.__getitem__),
    )
    also = "also " if smoothest_raw == smoothest else ""
    yield (
        f"Smoothness: distances between the embeddings of consecutive {table.step.nouns} are "
        "smallest for "
        f"{in_sentence(smoothest_raw)}. Divided by the variance of the embeddings, they are "
        f"{also}smallest for {in_sentence(smoothest)}."
    )
