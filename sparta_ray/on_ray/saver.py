"""When a rank saves: at intervals, at ends, and where the run is to stop or loses a node."""

import time

import ray.train

from sparta_ray.base.folder import RunFolder
from sparta_ray.on_ray.stopping import StopRequest
from sparta_ray.on_ray.votes import Votes
from sparta_ray.training.checkpoint import capture
from sparta_ray.training.checkpoint_folder import CheckpointFolder
from sparta_ray.training.config import TrainingConfig
from sparta_ray.training.loop import IsLate
from sparta_ray.training.precision import Precision
from sparta_ray.training.state import StageState
from sparta_ray.training.step_report import EpochReport

_SECONDS_BETWEEN_STOP_CHECKS = 0.25
_SECONDS_BETWEEN_NOTICE_CHECKS = 3.0
_SECONDS_BEFORE_LATE = 5.0
"""A batch that has not come for so long is late."""


class Saver:
    """Makes the run's checkpoints, at the same steps on all ranks; the first rank writes them."""

    def __init__(
        self,
        run_folder: RunFolder,
        training: TrainingConfig,
        rank: int,
        stop: StopRequest,
        fingerprint: str,
        precision: Precision,
    ):
        """Prepare to save as `training` asks; states are of data with that `fingerprint`."""
        self._checkpoints = CheckpointFolder(run_folder)
        self._training, self._rank, self._stop = training, rank, stop
        self._fingerprint, self._precision = fingerprint, precision
        self._votes = Votes()
        self._saved: tuple[int, int] | None = None
        self._preempted = False
        self._notice_checked = self._stop_checked = time.monotonic()

    def after_epoch(self, stage: int, state: StageState, epoch: EpochReport) -> None:
        """Make a checkpoint where one is due, and report the epoch's measures to Ray Train."""
        done = epoch.epoch + 1
        due = done % self._training.checkpoint_every_epochs == 0
        if due or done == self._training.stages[stage].epochs:
            self._save(stage, state)
            measures = {**epoch.losses, **epoch.health}
            place = {"stage": stage, "position": state.position, "epoch": epoch.epoch}
            ray.train.report({**place, **measures})

    def after_step(self, stage: int, state: StageState, is_late: IsLate) -> bool:
        """Make a checkpoint where one is due, and return whether training is to stop.

        A rank whose builders are on a node that is being taken away gets no more batches: Ray Data
        gives them no more work from the moment of the notice. So no rank waits long for its next
        batch without all of them checking whether there is a notice.

        Raises:
            NonFiniteError: The first rank has seen a loss or gradient that is not finite.
        """
        every = self._training.checkpoint_every_steps
        if every is not None and state.position % every == 0:
            self._save(stage, state)
        while True:
            late = is_late(_SECONDS_BEFORE_LATE)
            stop, ask, failed, late = self._votes.any_of(
                self._should_stop(), self._should_ask(), state.finite.failed, late
            )
            if failed:
                state.finite.check()
            if stop or ((ask or late) and self._newly_preempted()):
                self._save(stage, state)
            if stop or not late:
                return stop

    def _should_stop(self) -> bool:
        """Return whether the first rank has been told to stop; it checks a few times a second."""
        now = time.monotonic()
        if self._rank > 0 or now - self._stop_checked < _SECONDS_BETWEEN_STOP_CHECKS:
            return False
        self._stop_checked = now
        return self._stop.is_set()

    def _should_ask(self) -> bool:
        """Return whether it is time, by the first rank's clock, to ask for a notice."""
        waited = time.monotonic() - self._notice_checked
        return self._rank == 0 and waited > _SECONDS_BETWEEN_NOTICE_CHECKS

    def _newly_preempted(self) -> bool:
        """Return once, on all ranks, that a node is being taken away; asking costs a round trip."""
        self._notice_checked = time.monotonic()
        if self._preempted:
            return False
        self._preempted = ray.train.get_preemption_info() is not None
        return self._preempted

    def _save(self, stage: int, state: StageState) -> None:
        """Let the first rank write a checkpoint, unless the last one is the same.

        Raises:
            NonFiniteError: Some step was not finite; raised by all ranks.
        """
        state.finite.check()
        if self._saved == (stage, state.position):
            return
        self._saved = stage, state.position
        if self._rank == 0:
            saved = capture(state, stage, self._fingerprint, self._precision)
            self._checkpoints.save(saved, self._training.keep_checkpoints)
