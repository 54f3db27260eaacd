"""What Ray's own metrics (Prometheus, Grafana) learn from a run: its speed and its waits."""

from collections.abc import Mapping

from ray.util.metrics import Gauge

_GAUGES = {
    "rows_per_second": "Rows a second through training.",
    "wait_share": "Share of the time that training waited for data.",
    "expand_share": "Share of the time that went into views.",
    "forward_share": "Share of the time that went into networks and losses.",
    "backward_share": "Share of the time that went into gradients.",
    "optimiser_share": "Share of the time that went into changing the weights.",
    "report_share": "Share of the time that went into progress, records and checkpoints.",
    "position": "Steps done in the stage.",
    "loss": "The loss of the last step or epoch.",
}
"""Exported as ``ray_sparta_rows_per_second`` and so on."""


class MetricsExport:
    """Sets a run's gauges; one object for each process that reports."""

    def __init__(self, run: str):
        """Name the run, which tells its numbers from those of others on the cluster."""
        self._run = run
        self._gauges = {
            name: Gauge(f"sparta_{name}", description=meaning, tag_keys=("run", "stage"))
            for name, meaning in _GAUGES.items()
        }

    def __call__(self, stage: str, values: Mapping[str, object]) -> None:
        """Set the gauges among `values`; the rest is left to ``metrics.jsonl``."""
        for name, gauge in self._gauges.items():
            value = values.get(name)
            if isinstance(value, int | float):
                gauge.set(value, tags={"run": self._run, "stage": stage})
