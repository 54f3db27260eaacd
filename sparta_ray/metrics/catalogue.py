"""Every metric by its key, so that whoever reads a score can look up what it means."""

from sparta_ray.metrics.classification import CLASSIFICATION_METRICS
from sparta_ray.metrics.contrastive import CONTRASTIVE_METRICS
from sparta_ray.metrics.embeddings import EMBEDDING_METRICS
from sparta_ray.metrics.ensembles import ENSEMBLE_METRICS
from sparta_ray.metrics.fields import FIELD_METRICS
from sparta_ray.metrics.metric import FORMS, CaseMetric, Metric, UnlistedMetric
from sparta_ray.metrics.sequences import SEQUENCE_METRICS

METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        *FIELD_METRICS,
        *ENSEMBLE_METRICS,
        *SEQUENCE_METRICS,
        *EMBEDDING_METRICS,
        *CLASSIFICATION_METRICS,
        *CONTRASTIVE_METRICS,
    )
}
"""All metrics that scores are given for."""


def metric_of(key: str) -> Metric:
    """Return a metric; one that is not listed has its own name and no direction."""
    return METRICS.get(key) or UnlistedMetric(key)


def rule_of(form: str) -> CaseMetric:
    """Return what turns sums over cases into a score.

    Args:
        form: One of `FORMS`, or the key of a metric with a rule of its own.

    Raises:
        ValueError: There is no such rule.
    """
    rule = FORMS.get(form) or METRICS.get(form)
    if not isinstance(rule, CaseMetric):
        raise ValueError(f"no metric says how a score follows from sums of the form {form!r}")
    return rule
