"""The paper's numbers, and which of its variants a run is, so that like is set beside like."""

import functools
import json
from collections.abc import Iterable
from dataclasses import replace
from importlib import resources
from typing import Any

from sparta_ray.metrics.records import Score
from sparta_ray.run.settings import Run
from sparta_ray.training.stages import ModelKind

SIMPLE = {
    ("classification", "cross-entropy"): ("classification_test_cross_entropy", None),
    ("diffusion", "rrmse"): ("diffusion", "rrmse_percent"),
    ("diffusion", "latent density"): ("diffusion", "latent_density"),
    ("diffusion", "realism"): ("diffusion", "realism"),
    ("diffusion", "std"): ("diffusion", "std"),
    ("latent space", "temporal distance"): ("smoothness_mean_std", "temporal_mean"),
    ("latent space", "temporal distance std"): ("smoothness_mean_std", "temporal_std"),
    ("latent space", "cycle distance"): ("smoothness_mean_std", "cycle_mean"),
    ("latent space", "cycle distance std"): ("smoothness_mean_std", "cycle_std"),
    ("latent space", "positive cosine"): ("contrastive_methods_table_3_1", "positive_cosine"),
    ("latent space", "negative cosine"): ("contrastive_methods_table_3_1", "negative_cosine"),
    ("latent space", "embedding variance"): ("contrastive_methods_table_3_1", "embedding_variance"),
}
"""By task and metric, the published table and the column in it; None where it has just one."""


def published_variant(run: Run, kind: ModelKind) -> str | None:
    """Return the paper's name of what a run trained, or None if the paper has no such variant.

    The loss, where variables are fused, negatives and cycle loss decide; other settings that are
    not as published are listed in the report.
    """
    if kind == "autoencoder":
        return "autoencoder"
    contrastive, negatives = run.training.contrastive, run.sampling.negatives
    cycle = contrastive.cycle_weight > 0
    if contrastive.loss.kind in ("barlow_twins", "supervised"):
        return {"barlow_twins": "barlow_twins", "supervised": "supcon"}[contrastive.loss.kind]
    if contrastive.loss.kind != "nt_xent":
        return None
    if run.sampling.max_neighbour_days == 0:
        return "simclr"
    fusion = run.model.fusion.kind
    if fusion == "early":
        return "sparta_early" + ("_hn" if negatives else "") + ("_cycle" if cycle else "")
    if fusion in ("attention", "graph") and negatives and cycle:
        return f"sparta_late_{fusion}"
    return None


def published_value(
    task: str,
    metric: str,
    variant: str,
    setting: str | None = None,
    lead_days: int | None = None,
) -> float | None:
    """Return the paper's number for a score, or None where it has none.

    Args:
        task: ``forecast``, ``diffusion``, ``classification`` or ``latent space``.
        metric: ``rrmse``, or one of `SIMPLE`.
        variant: The paper's, such as ``sparta_early_hn_cycle`` or ``autoencoder``.
        setting: For a forecast ``lookback30_stride1``, ``lookback5_stride5`` or
            ``lookback5_stride10``; otherwise None, the published recipe.
        lead_days: For a forecast 25, 50, 75 or 100; for look-back 30 also 1, from the runs.

    Example:
        Of ``sparta_early_hn_cycle``, look-back 30, 25 days ahead, the RRMSE is 15.71 %.
    """
    results = published_results()
    if (task, metric) == ("forecast", "rrmse"):
        by_lead = dict(results["forecast_rrmse_percent"].get(setting, {}).get(variant, {}))
        if setting == "lookback30_stride1":
            first = results["forecast_rrmse_percent_lead1_lookback30_from_runs"]
            by_lead["1"] = first.get(variant)
        value = by_lead.get(str(lead_days))
        return None if value is None else float(value)
    if (task, metric) not in SIMPLE or setting is not None or lead_days is not None:
        return None
    table, column = SIMPLE[task, metric]
    row = results[table].get(variant)
    if row is None:
        return None
    if column is None:
        return float(row)
    values = row["values"] if isinstance(row, dict) else row
    return float(values[results[table]["columns"].index(column)])


def beside_published(scores: Iterable[Score], run: Run) -> list[Score]:
    """Return a run's scores with the paper's numbers for the same variant beside them.

    The paper's steps are days, so that its numbers say nothing of a run with others.
    """
    if not run.data.length.is_day:
        return list(scores)
    variants: dict[str, str | None] = {kind: published_variant(run, kind) for kind in run.models}
    return [_beside(score, variants.get(score.model)) for score in scores]


def _beside(score: Score, variant: str | None) -> Score:
    if variant is None or score.variable is not None:
        return score
    found = published_value(score.task, score.metric, variant, score.setting, score.lead_days)
    return replace(score, published=found)


@functools.cache
def published_results() -> dict[str, Any]:
    """Return every published table, and first and last losses of the published runs."""
    source = resources.files("sparta_ray.evaluation") / "published" / "results.json"
    results = json.loads(source.read_text())
    assert isinstance(results, dict)
    return results
