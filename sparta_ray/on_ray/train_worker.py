"""One rank of a run in training: its device, its share of the data, its checkpoints."""

import os
import socket
from collections.abc import Iterator
from dataclasses import replace

import ray.train
import ray.train.torch
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.base.progress import ShowProgress
from sparta_ray.base.seeding import derive_seed
from sparta_ray.data.batches.builder import BatchBuilder, BatchRecipe
from sparta_ray.data.batches.compact import CompactBatch
from sparta_ray.data.batches.view_operator import ViewOperator
from sparta_ray.data.preparation.streaming import open_store
from sparta_ray.models.compile import compile_networks
from sparta_ray.models.sparta import Model
from sparta_ray.on_ray.failed_step import record_failed_step
from sparta_ray.on_ray.gauges import MetricsExport
from sparta_ray.on_ray.saver import Saver
from sparta_ray.on_ray.stopping import StopRequest
from sparta_ray.on_ray.stream import stream
from sparta_ray.on_ray.watchdog import Heartbeat
from sparta_ray.run.ownership import Allowed
from sparta_ray.run.settings import Run, schedule, splits
from sparta_ray.training.checkpoint import SavedState, load_state, restore
from sparta_ray.training.checkpoint_folder import CheckpointFolder
from sparta_ray.training.finite import NonFiniteError
from sparta_ray.training.loop import StageLoop
from sparta_ray.training.model_card import ModelCard, save_model
from sparta_ray.training.precision import resolve_precision, weights_type
from sparta_ray.training.reporter import StageReporter
from sparta_ray.training.stage_module import StageModule
from sparta_ray.training.stages import ModelKind, StageConfig, build_model, model_kind, needs
from sparta_ray.training.state import StageState
from sparta_ray.training.step_report import EpochReport
from sparta_ray.training.timing import StepClock


def first_heartbeat() -> Heartbeat:
    """Return the heartbeat of a rank that has not opened its store and checkpoint yet."""
    context, process = ray.train.get_context(), f"{os.getpid()} on {socket.gethostname()}"
    return Heartbeat(context.get_world_rank(), context.get_world_size(), process, "", 0, "begin")


class Worker:
    """One rank: its device, its share of the data, and the model in training."""

    def __init__(self, run: Run, show: ShowProgress, stop: StopRequest):
        context = ray.train.get_context()
        self.run, self._show = run, show
        self.rank, self.ranks = context.get_world_rank(), context.get_world_size()
        self.device = ray.train.torch.get_device()
        self.precision = resolve_precision(run.training.precision, self.device)
        self.store = open_store(run.data.store, run.data.cache)
        self.folder = RunFolder(run.path)
        self._saver = Saver(
            self.folder, run.training, self.rank, stop, self.store.fingerprint, self.precision
        )
        threads = run.scaling.threads_per_worker or max(1, int(run.scaling.cpus_per_worker))
        torch.set_num_threads(threads)
        self._model: Model | None = None
        self._kind: ModelKind | None = None
        self._clock = StepClock(self.device)
        self._state: StageState | None = None
        self._stage = run.training.stages[0].kind
        self._heartbeat = first_heartbeat()

    def heartbeat(self) -> Heartbeat:
        """Return where this rank is; called from the thread that sends heartbeats."""
        position = 0 if self._state is None else self._state.position
        return replace(self._heartbeat, stage=self._stage, position=position, part=self._clock.part)

    def load(self, allowed: Allowed) -> SavedState | None:
        """Return the last checkpoint, if there is one.

        Raises:
            ConfigError: It is damaged, or of other data, stages or precision.
        """
        checkpoint = CheckpointFolder(self.folder).newest()
        if checkpoint is None:
            return None
        expected = None if allowed.changed_data else self.store.fingerprint
        saved = load_state(checkpoint, expected)
        self._check_position(saved)
        if not allowed.changed_config:
            saved.check_precision(self.precision)
        return saved

    def _check_position(self, saved: SavedState) -> None:
        """Refuse a checkpoint of a stage, or of a step in it, that the run does not have."""
        kinds = [stage.kind for stage in self.run.training.stages]
        steps = 0
        if saved.stage < len(kinds) and kinds[saved.stage] == saved.kind:
            steps = len(self._recipe(saved.stage).schedule)
        if saved.position > steps:
            raise ConfigError(
                f"the checkpoint is of step {saved.position} of stage {saved.kind}, number "
                f"{saved.stage + 1}; the run as configured now has stages {kinds} and {steps} such "
                "steps; set training.stages as they were, or choose another run name"
            )

    def run_stage(self, index: int, saved: SavedState | None) -> bool:
        """Run one stage; return whether it came to its end, and was not stopped before.

        The last of a model's stages leaves the finished model.
        """
        stage, builder = self.run.training.stages[index], self._builder(index)
        state = self._start(stage, saved)
        self._stage, self._state, self._clock = stage.kind, state, StepClock(self.device)
        loop = self._loop(index, builder, self._reporter(index, state, builder.recipe))
        try:
            loop.run(state, self._distributed(state.module), self._batches(builder, state.position))
        except NonFiniteError as error:
            message = record_failed_step(
                self.run, index, state, builder, self.store, self.precision, error
            )
            raise FloatingPointError(message) from error
        if state.position < len(builder.recipe.schedule):
            return False
        self._finish(index, state)
        return True

    def _builder(self, index: int) -> BatchBuilder:
        return BatchBuilder(self._recipe(index), self.rank, self.ranks)

    def _batches(self, builder: BatchBuilder, start: int) -> Iterator[CompactBatch]:
        """Return a stage's batches from a position on, as Ray Data's actors build them."""
        scaling = self.run.scaling
        return stream(
            builder.recipe,
            start,
            self.rank,
            self.ranks,
            scaling.builders_per_worker,
            same_node=scaling.elastic,
        )

    def _start(self, stage: StageConfig, saved: SavedState | None) -> StageState:
        """Return the state in which a stage begins, or in which it was saved."""
        training, model = self.run.training, self._model_for(model_kind(stage))
        area_Y = training.latitude_weights(self.store.latitude)
        module = StageModule(stage, model, training.contrastive, area_Y)
        module = module.to(self.device, weights_type(self.precision))
        state = StageState.start(module, stage.lr, training.plateau)
        if saved is not None:
            restore(state, saved)
        return state

    def _reporter(self, index: int, state: StageState, recipe: BatchRecipe) -> StageReporter:
        """Return the stage's reporter; on the first rank its start is already recorded."""
        training = self.run.training
        kind = training.stages[index].kind
        reporter = StageReporter(
            self.folder,
            self._show,
            kind,
            f"train {index + 1}/{len(training.stages)} {kind}",
            recipe.schedule,
            training.health,
            every=training.report_seconds,
            export=MetricsExport(self.run.name) if self.rank == 0 else None,
        )
        if self.rank == 0:
            reporter.start(state.position, self.precision, str(self.device), self.ranks)
        return reporter

    def _loop(self, index: int, builder: BatchBuilder, reporter: StageReporter) -> StageLoop:
        """Return the stage's loop, which measures its parts with the rank's clock."""
        recipe = builder.recipe
        operator = ViewOperator(self.store.grid, self.run.views, self.run.model.mask_channels)
        return StageLoop(
            schedule=recipe.schedule,
            operator=operator.to(self.device, weights_type(self.precision)),
            seed=recipe.seed,
            precision=self.precision,
            probe_batch=builder.build(recipe.schedule.train_steps),  # validation's first
            on_step=reporter.step if self.rank == 0 else lambda _: None,
            on_epoch=lambda state, epoch: self._end_epoch(index, state, epoch, reporter),
            after_step=lambda state, is_late: self._saver.after_step(index, state, is_late),
            clock=self._clock,
        )

    def _finish(self, index: int, state: StageState) -> None:
        """Make the chosen weights the stage's result; leave its best ones, and a finished model."""
        training, best = self.run.training, state.best
        assert best is not None  # of its first epoch, at the least
        if training.keep == "best":
            state.module.model.load_state_dict(best.weights)
        if self.rank > 0:
            return
        kind = model_kind(training.stages[index])
        card = ModelCard.describe(kind, self.run.model, self.run.views, self.store)
        save_model(self.folder.child("best", training.stages[index].kind), card, best.weights)
        following = training.stages[index + 1 :]
        if not following or model_kind(following[0]) != kind:
            save_model(self.folder.child("models", kind), card, state.module.model.state_dict())

    def _model_for(self, kind: ModelKind) -> Model:
        """Return the previous stage's model, or a new one where a stage trains another kind."""
        if self._model is None or self._kind != kind:
            torch.manual_seed(derive_seed(self.run.seed, "weights", kind))
            self._kind = kind
            self._model = build_model(kind, self.store.variables, self.store.grid, self.run.model)
            if self.run.training.compile:
                compile_networks(self._model)
        return self._model

    def _distributed(self, module: StageModule) -> nn.Module:
        if self.ranks == 1:
            return module
        devices = [self.device] if self.device.type == "cuda" else None
        # Buffers are the stem's running statistics, which all ranks compute alike.
        return DistributedDataParallel(module, device_ids=devices, broadcast_buffers=False)

    def _recipe(self, index: int) -> BatchRecipe:
        run, stage = self.run, self.run.training.stages[index]
        return BatchRecipe(
            store=run.data.store,
            splits=splits(run, len(self.store)),
            sampling=run.sampling,
            views=run.views,
            mask=run.mask,
            seed=derive_seed(run.seed, "stage", index),
            schedule=schedule(run, stage, len(self.store)),
            needs=needs(stage, run.training.contrastive),
            batches=run.batches,
            cache=run.data.cache,
        )

    def _end_epoch(
        self, stage: int, state: StageState, epoch: EpochReport, reporter: StageReporter
    ) -> None:
        if self.rank == 0:
            reporter.epoch(epoch)
        self._saver.after_epoch(stage, state, epoch)
