"""The paper's numbers, to be set beside our own."""

import functools
import json
from importlib import resources
from typing import Any

PUBLISHED_MODELS = {"sparta": "sparta_early_hn_cycle"}
"""Which of the paper's variants a model stands for; a variant may also be named itself."""


def published_value(
    task: str,
    metric: str,
    model: str,
    setting: str | None = None,
    lead_days: int | None = None,
) -> float | None:
    """Return the paper's number for a score, or None where it has none.

    Args:
        task: ``forecast``, ``diffusion``, ``classification`` or ``latent space``.
        metric: ``rrmse``, ``latent density``, ``realism``, ``std``, ``cross-entropy``,
            ``temporal distance`` or ``cycle distance``.
        model: ``sparta`` (early fusion with hard negatives and cycle loss), ``autoencoder`` or a
            variant such as ``sparta_late_graph``.
        setting: For a forecast ``lookback30_stride1``, ``lookback5_stride5`` or
            ``lookback5_stride10``; otherwise None, the published recipe.
        lead_days: For a forecast 25, 50, 75 or 100.

    Example:
        ``published_value("forecast", "rrmse", "sparta", "lookback30_stride1", 25)`` is 15.71.
    """
    node: Any = _results().get(task, {}).get(metric, {})
    keys = [PUBLISHED_MODELS.get(model, model)]
    if task == "forecast":
        keys = [str(setting), *keys, str(lead_days)]
    elif setting is not None or lead_days is not None:
        return None
    for key in keys:
        node = node.get(key, {})
    return float(node) if node != {} else None


@functools.cache
def _results() -> dict[str, Any]:
    source = resources.files("sparta_ray.evaluation") / "published" / "results.json"
    results = json.loads(source.read_text())
    assert isinstance(results, dict)
    return results
