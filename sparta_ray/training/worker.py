"""Training on Ray Train: every stage of a run in one `fit()`, from its last checkpoint on."""

import tempfile
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from sparta_ray.cluster import own_interrupt, quieten, watched
from sparta_ray.config import ConfigError, from_tree, to_tree
from sparta_ray.data.batches import BatchRecipe, stream
from sparta_ray.data.store import Store
from sparta_ray.data.views import ViewOperator
from sparta_ray.models.sparta import Model
from sparta_ray.run import Run, schedule, splits
from sparta_ray.run_folder import RunFolder
from sparta_ray.seeding import derive_seed
from sparta_ray.training.checkpoint import (
    ModelCard,
    SavedState,
    capture,
    has_model,
    load_state,
    restore,
    save_model,
    save_state,
)
from sparta_ray.training.distributed import gather_rows
from sparta_ray.training.loop import EpochReport, StageLoop, StageState
from sparta_ray.training.precision import resolve_precision
from sparta_ray.training.reporter import Show, StageReporter
from sparta_ray.training.stages import ModelKind, StageModule, build_model, model_kind, needs


def train(run: Run) -> None:
    """Train every stage that is not finished and leave the models in the run folder.

    Interrupted at any moment, the same call continues from the last checkpoint.
    """
    folder = RunFolder(run.path)
    if all(has_model(folder.child("models", kind)) for kind in run.models):
        return
    scaling = run.scaling
    gpu = {"GPU": 1} if scaling.use_gpu else {}
    with watched() as show, own_interrupt():
        trainer = ray.train.torch.TorchTrainer(
            _train_worker,
            train_loop_config={"run": to_tree(run), "show": show},
            scaling_config=ScalingConfig(
                num_workers=scaling.num_workers,
                use_gpu=scaling.use_gpu,
                resources_per_worker={"CPU": scaling.cpus_per_worker, **gpu},
            ),
            run_config=RunConfig(
                name="checkpoints",
                storage_path=folder.url,
                failure_config=FailureConfig(max_failures=scaling.max_failures),
                checkpoint_config=CheckpointConfig(num_to_keep=run.training.keep_checkpoints),
                logging_config=ray.LoggingConfig(log_level="WARNING"),
            ),
        )
        _fit(trainer)


def _fit(trainer: "ray.train.torch.TorchTrainer") -> None:
    """Run the trainer; what a user can mend fails as the one error that the worker raised."""
    try:
        trainer.fit()
    except SystemExit as stopped:  # how Train answers an interrupt
        raise KeyboardInterrupt from stopped
    except ray.train.WorkerGroupError as error:
        for cause in error.worker_failures.values():
            if isinstance(cause, ConfigError | FloatingPointError):
                raise ConfigError(str(cause)) from error
        raise


def _train_worker(config: dict[str, Any]) -> None:
    """Run all stages that are left, on every rank."""
    quieten()
    worker = _Worker(from_tree(Run, config["run"], "run"), config["show"])
    saved = worker.load()
    for index in range(0 if saved is None else saved.stage, len(worker.run.training.stages)):
        worker.run_stage(index, saved if saved and saved.stage == index else None)


class _Worker:
    """One rank: its device, its share of the data, and the model in training."""

    def __init__(self, run: Run, show: Show):
        context = ray.train.get_context()
        self.run, self._show = run, show
        self.rank, self.ranks = context.get_world_rank(), context.get_world_size()
        self.device = ray.train.torch.get_device()
        self.precision = resolve_precision(run.training.precision, self.device)
        self.store = Store(run.data.store)
        self.folder = RunFolder(run.path)
        threads = run.scaling.threads_per_worker or max(1, int(run.scaling.cpus_per_worker))
        torch.set_num_threads(threads)
        self._model: Model | None = None
        self._kind: ModelKind | None = None

    def load(self) -> SavedState | None:
        """Return the last checkpoint, if there is one."""
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            return None
        with checkpoint.as_directory() as folder:
            return load_state(Path(folder), self.store.fingerprint)

    def run_stage(self, index: int, saved: SavedState | None) -> None:
        """Run one stage to its end; the last of a model's stages leaves the finished model."""
        stages = self.run.training.stages
        stage = stages[index]
        module = StageModule(
            stage, self._model_for(stage_kind := model_kind(stage)),
            self.run.training.contrastive, gather_rows,
        ).to(self.device)  # fmt: skip
        state = StageState.start(module, stage.lr, self.run.training.plateau)
        if saved is not None:
            restore(state, saved)
        recipe = self._recipe(index)
        label = f"train {index + 1}/{len(stages)} {stage.kind}"
        reporter = StageReporter(self.folder, self._show, stage.kind, label, recipe.schedule)
        if self.rank == 0:
            reporter.start(state.position, self.precision, str(self.device), self.ranks)
        loop = StageLoop(
            schedule=recipe.schedule,
            operator=ViewOperator(self.store.grid, self.run.views).to(self.device),
            seed=recipe.seed,
            rank=self.rank,
            ranks=self.ranks,
            precision=self.precision,
            on_step=reporter.step if self.rank == 0 else lambda _: None,
            on_epoch=lambda state, epoch: self._end_epoch(index, state, epoch, reporter),
        )
        batches = stream(
            recipe, state.position, self.rank, self.ranks, self.run.scaling.builders_per_worker
        )
        loop.run(state, self._distributed(module), batches)
        is_last = index + 1 == len(stages) or model_kind(stages[index + 1]) != stage_kind
        if is_last and self.rank == 0:
            card = ModelCard.describe(stage_kind, self.run.model, self.run.views, self.store)
            weights = module.model.state_dict()
            save_model(self.folder.child("models", stage_kind), card, weights)

    def _model_for(self, kind: ModelKind) -> Model:
        """Return the model of the stage before, or a fresh one where another kind begins."""
        if self._model is None or self._kind != kind:
            torch.manual_seed(derive_seed(self.run.seed, "weights", kind))
            self._kind = kind
            self._model = build_model(
                kind, len(self.store.variables), self.store.grid, self.run.model
            )
        return self._model

    def _distributed(self, module: StageModule) -> nn.Module:
        if self.ranks == 1:
            return module
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=devices)

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
            needs=needs(stage),
        )

    def _end_epoch(
        self, stage: int, state: StageState, epoch: EpochReport, reporter: StageReporter
    ) -> None:
        if self.rank == 0:
            reporter.epoch(epoch)
        epochs = self.run.training.stages[stage].epochs
        done = epoch.epoch + 1
        if done % self.run.training.checkpoint_every_epochs == 0 or done == epochs:
            self._checkpoint(capture(state, stage, self.store.fingerprint), epoch)

    def _checkpoint(self, saved: SavedState, epoch: EpochReport) -> None:
        """Let all ranks report; the first brings the checkpoint."""
        metrics = {"stage": saved.stage, "position": saved.position, **epoch.losses}
        if self.rank > 0:
            ray.train.report(metrics)
            return
        with tempfile.TemporaryDirectory() as folder:
            save_state(Path(folder), saved)
            ray.train.report(metrics, checkpoint=Checkpoint.from_directory(folder))
