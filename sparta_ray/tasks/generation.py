"""Generation: diffusion that draws embeddings of whole days, given those of masked days."""

from collections.abc import Iterator, Mapping
from functools import partial

from torch import nn

from sparta_ray.base.config import to_tree
from sparta_ray.downstream.generation.diffusion import (
    DiffusionConfig,
    LatentDiffusion,
    train_diffusion,
)
from sparta_ray.evaluation.generation import evaluate_diffusion, evaluate_diffusion_bound
from sparta_ray.evaluation.part import Part
from sparta_ray.evaluation.results import Results
from sparta_ray.evaluation.setup import Setup
from sparta_ray.run.settings import Run
from sparta_ray.run.trial import Trial
from sparta_ray.tasks.task import DownstreamTask, Training
from sparta_ray.training.stages import ModelKind


class Generation(DownstreamTask):
    """Conditional latent diffusion; its name in settings, folders and scores is ``diffusion``."""

    name = "diffusion"
    heading = "Generation"
    question = "Are the embeddings that diffusion generates like real ones?"

    def settings(self, run: Run) -> Mapping[str, DiffusionConfig]:
        """Return the one form of the task, unless the run leaves it out."""
        config = run.downstream.diffusion
        return {} if config is None else {"": config}

    def network(self, run: Run, setting: str) -> nn.Module:
        """Return the untrained diffusion model."""
        return LatentDiffusion(run.model.embedding, self.settings(run)[setting])

    def train(self, training: Training) -> nn.Module:
        """Train from embeddings of masked days to those of the whole days."""
        mask, latents, parts = training.run.downstream.mask, training.latents, training.parts
        return train_diffusion(
            latents.of_epochs(parts["train"], mask, "train"),
            latents.whole(parts["train"]).to(training.device),
            (
                latents.masked(parts["validation"], mask, "validation").to(training.device),
                latents.whole(parts["validation"]).to(training.device),
            ),
            self.settings(training.run)[training.trial.setting],
            training.seed,
            training.on_epoch,
        )

    def evaluate(self, setup: Setup, trial: Trial) -> Results:
        """Score samples drawn for masked test days."""
        model = self.load(setup, trial)
        assert isinstance(model, LatentDiffusion)
        return evaluate_diffusion(setup, trial, model)

    def bounds(self, run: Run, kind: ModelKind) -> Iterator[Part]:
        """Yield what samples that are right in every component would score."""
        for config in self.settings(run).values():
            score = partial(evaluate_diffusion_bound, kind=kind)
            yield Part(f"bound {kind} diffusion", score, (kind,), None, to_tree(config))
