"""Reports on a stage in training: progress lines, and records in ``metrics.jsonl``."""

import time
from collections.abc import Callable, Mapping

from sparta_ray.base.folder import RunFolder
from sparta_ray.base.progress import ShowProgress, clock
from sparta_ray.data.plan.schedule import Schedule
from sparta_ray.training.health import HealthConfig, collapse
from sparta_ray.training.step_report import EpochReport, StepReport
from sparta_ray.training.timing import PARTS

Export = Callable[[str, Mapping[str, object]], None]
"""Receives (stage, values) of each record, besides the run folder, such as for Ray's gauges."""

HISTORY = "metrics.jsonl"
"""The records of all stages of a run, one JSON object a line."""


class StageReporter:
    """Turns step and epoch reports of one stage into lines and records."""

    def __init__(
        self, folder: RunFolder, show: ShowProgress, stage: str, label: str, schedule: Schedule,
        health: HealthConfig, every: float = 3.0, export: Export | None = None,
    ):  # fmt: skip
        """Report on `stage`, with at least `every` seconds between two progress lines."""
        self._folder, self._show, self._health = folder, show, health
        self._stage, self._label, self._schedule = stage, label, schedule
        self._export = export
        self._every = every
        self._pending: list[dict[str, object]] = []
        self._warned = False
        self._restart_interval()

    def start(self, position: int, precision: str, device: str, ranks: int) -> None:
        """Record the step at which the stage starts or continues, and on what machine."""
        self._folder.drop_torn_record(HISTORY)
        self._record(
            event="start", position=position, precision=precision, device=device, ranks=ranks
        )

    def step(self, report: StepReport) -> None:
        """Count a batch, and every few seconds show and record the progress."""
        self._batches += 1
        self._rows += report.rows
        for part, seconds in report.seconds.items():
            self._seconds[part] += seconds
        total = len(self._schedule)
        if time.monotonic() - self._began < self._every and report.position < total:
            return
        if not report.is_finite():  # the loop is about to raise
            return
        losses = {name: float(value) for name, value in report.terms.items()}
        norm = report.gradient_norm
        # The first batches on a GPU may not have been timed yet.
        took = max(sum(self._seconds.values()), 1e-9)
        remaining = (total - report.position) * took / self._batches
        shares = {f"{part}_share": seconds / took for part, seconds in self._seconds.items()}
        shown = " ".join(f"{name} {value:.3g}" for name, value in losses.items())
        phase = "" if report.unit.split == "train" else " (validation)"
        self._show(
            self._label,
            report.position,
            total,
            f"epoch {report.unit.epoch + 1}/{self._schedule.epochs}{phase} {shown} | "
            f"wait {shares['wait_share']:.0%} {self._rows / took:.0f} rows/s "
            f"eta {clock(remaining)}",
        )
        self._record(
            event="step",
            position=report.position,
            split=report.unit.split,
            epoch=report.unit.epoch,
            rows_per_second=self._rows / took,
            **shares,
            **losses,
            **({} if norm is None else {"gradient_norm": float(norm)}),
        )
        self._restart_interval()

    def epoch(self, report: EpochReport) -> None:
        """Record an epoch's mean losses and the embeddings' health; warn once if they collapse."""
        self._record(
            event="epoch",
            epoch=report.epoch,
            lr=report.lr,
            **report.losses,
            gradient_norm=report.gradient_norm,
        )
        self._record(event="health", epoch=report.epoch, **report.health)
        collapsed = collapse(report.health, self._health)
        if collapsed and not self._warned:
            self._warned = True
            label, text = f"warning: {self._label}, epoch", f"the embeddings collapse: {collapsed}"
            self._show(label, report.epoch + 1, self._schedule.epochs, text)

    def _record(self, **values: object) -> None:
        """Append a record. On a remote folder, where that rewrites the file, step records wait."""
        if self._export is not None:
            self._export(self._stage, values)
        self._pending.append({"stage": self._stage, "time": round(time.time(), 2), **values})
        if self._folder.is_local or values["event"] != "step":
            self._folder.append_records(HISTORY, self._pending)
            self._pending = []

    def _restart_interval(self) -> None:
        self._began = time.monotonic()
        self._batches = self._rows = 0
        self._seconds = dict.fromkeys(PARTS, 0.0)
