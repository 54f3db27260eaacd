"""When a rank saves: at intervals, at ends, and where the run is to stop or loses a node."""

import tempfile
import time
from pathlib import Path

import ray.train
import torch
from ray.train import Checkpoint

from sparta_ray.base.distributed import sum_over_ranks
from sparta_ray.on_ray.stopping import StopRequest
from sparta_ray.training.checkpoint import capture, save_state
from sparta_ray.training.config import TrainingConfig
from sparta_ray.training.loop import EpochReport, IsLate, StageState
from sparta_ray.training.precision import Precision

_SECONDS_BETWEEN_QUESTIONS = 3.0
_PATIENCE_SECONDS = 5.0


class Saver:
    """Reports a rank's checkpoints to Ray Train, at the same steps on all ranks."""

    def __init__(
        self,
        training: TrainingConfig,
        rank: int,
        device: torch.device,
        stop: StopRequest,
        fingerprint: str,
        precision: Precision,
    ):
        """Prepare to save as `training` asks; states are of data with that `fingerprint`."""
        self._training, self._rank, self._device, self._stop = training, rank, device, stop
        self._fingerprint, self._precision = fingerprint, precision
        self._saved: tuple[int, int] | None = None
        self._preempted, self._asked = False, time.monotonic()

    def after_epoch(self, stage: int, state: StageState, epoch: EpochReport) -> None:
        """Make a checkpoint where one is due, with the epoch's measures."""
        done = epoch.epoch + 1
        due = done % self._training.checkpoint_every_epochs == 0
        if due or done == self._training.stages[stage].epochs:
            self._save(stage, state, {**epoch.losses, **epoch.health}, epoch.epoch)

    def after_step(self, stage: int, state: StageState, is_late: IsLate) -> bool:
        """Make a checkpoint where one is due, and return whether training is to stop.

        A rank whose builders are on a node that is being taken away gets no more batches: Ray Data
        gives them no more work from the moment of the notice. So no rank waits for its next batch
        for long without all of them looking whether there is one.
        """
        every = self._training.checkpoint_every_steps
        if every is not None and state.position % every == 0:
            self._save(stage, state, {})
        while True:
            stop, ask, late = self._votes(is_late(_PATIENCE_SECONDS))
            if stop or ((ask or late) and self._newly_preempted()):
                self._save(stage, state, {})
            if stop or not late:
                return stop

    def _votes(self, late: bool) -> tuple[bool, bool, bool]:
        """Return, alike on all ranks, whether to stop, to ask for a notice, and whether any waits.

        The first rank alone looks for the wish to stop, and at the clock.
        """
        told = ask = False
        if self._rank == 0:
            told = self._stop.is_set()
            ask = time.monotonic() - self._asked > _SECONDS_BETWEEN_QUESTIONS
        votes = torch.tensor([told, ask, late], device=self._device, dtype=torch.float32)
        stop, ask, waits = (sum_over_ranks(votes) > 0).tolist()
        return stop, ask, waits

    def _newly_preempted(self) -> bool:
        """Return once, on all ranks, that a node is being taken away; asking costs a round trip."""
        self._asked = time.monotonic()
        if self._preempted:
            return False
        self._preempted = ray.train.get_preemption_info() is not None
        return self._preempted

    def _save(
        self, stage: int, state: StageState, measures: dict[str, float], epoch: int | None = None
    ) -> None:
        """Let all ranks report; the first brings the checkpoint, unless the last is the same.

        Where an epoch has ended, it and its measures are reported with it.
        """
        if self._saved == (stage, state.position):
            return
        self._saved = stage, state.position
        metrics = {"stage": stage, "position": state.position, **measures}
        if epoch is not None:
            metrics["epoch"] = epoch
        if self._rank > 0:
            ray.train.report(metrics)
            return
        with tempfile.TemporaryDirectory() as folder:
            save_state(Path(folder), capture(state, stage, self._fingerprint, self._precision))
            ray.train.report(metrics, checkpoint=Checkpoint.from_directory(folder))
