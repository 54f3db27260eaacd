"""Conditional diffusion of embeddings: from the embedding of a masked day to that of the full day.

Shape legend: T day, B batch row, D embedding.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from sparta_ray.base.config import STRICT
from sparta_ray.base.seeding import derive_seed
from sparta_ray.downstream.generation.noise_schedule import NoiseSchedule
from sparta_ray.downstream.generation.published_network import PublishedNetwork
from sparta_ray.downstream.generation.unet import LinearUNet
from sparta_ray.downstream.training import (
    LatentsOfEpoch,
    OnEpoch,
    latents_for,
    mean_loss,
    minibatches,
    repeatable,
    train_epoch,
)

Beta = Annotated[float, Field(gt=0, lt=1)]
Width = Annotated[int, Field(ge=1, le=65_536)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DiffusionConfig:
    """The diffusion model, its training and its sampling; the defaults are the published ones.

    Attributes:
        network: The noise predictor. ``published`` has the layers of the published runs, 44,783,312
            parameters at these sizes, and their noise schedule of `steps` + 1 variances.
            ``compact`` is smaller: fewer layers in a block, layer norms, and as many variances as
            steps.
        steps: Number of diffusion steps.
        beta: Noise variance of the first and of the last step; linear in between.
        widths: Widths of the U-Net's blocks on the way down. The published network takes three,
            each half of the one before.
        heads: Number of attention heads; it must divide every width.
        time_features: Size of the time embedding.
        condition_tokens: Number of tokens that the condition is projected to. With 1, as published,
            attention weights are constant. More than one needs the compact network.
        standardise: Whether to subtract the training targets' mean and divide by their standard
            deviation before diffusion, and undo it after sampling. Published runs do not: their
            embeddings have a standard deviation near 0.07, so that most of a sample is left-over
            unit noise.
        epochs: Passes over the training days.
        batch_size: Days per batch.
        lr: Adam's learning rate, constant.
        samples: Samples drawn for each condition in the evaluation.
    """

    network: Literal["published", "compact"] = "published"
    steps: int = Field(default=1000, ge=1)
    beta: tuple[Beta, Beta] = (1e-4, 0.02)
    widths: tuple[Width, ...] = Field(default=(1024, 512, 256), min_length=1)
    heads: int = Field(default=4, ge=1)
    time_features: int = Field(default=256, ge=2, multiple_of=2)
    condition_tokens: int = Field(default=1, ge=1)
    standardise: bool = False
    epochs: int = Field(default=300, ge=1, le=1_000_000)
    batch_size: int = Field(default=64, ge=1)
    lr: float = Field(default=1e-3, gt=0)
    samples: int = Field(default=20, ge=2)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.beta[0] > self.beta[1]:
            raise ValueError(f"beta {self.beta} falls: put the smaller variance first")
        if any(width % self.heads for width in self.widths):
            raise ValueError(
                f"{self.heads} heads do not divide widths {self.widths}: use multiples of "
                f"{self.heads}, or other heads"
            )
        if self.network == "published":
            self._check_published()
        return self

    def _check_published(self) -> None:
        widths = self.widths
        if len(widths) != 3 or widths[0] != 2 * widths[1] or widths[1] != 2 * widths[2]:
            raise ValueError(
                f"the published network takes three widths, each half of the one before, not "
                f"{widths}; change them, or set network: compact"
            )
        if self.condition_tokens != 1:
            raise ValueError(
                f"the published network has one condition token, not {self.condition_tokens}; set "
                "network: compact to have more"
            )

    def build_network(self, embedding: int) -> nn.Module:
        """Return the noise predictor for embeddings of that many components, with fresh weights."""
        sizes = (embedding, self.widths, self.heads, self.time_features)
        if self.network == "published":
            return PublishedNetwork(*sizes, self.steps)
        return LinearUNet(*sizes, self.condition_tokens)

    def build_schedule(self) -> NoiseSchedule:
        """Return the variances; the published runs have one more than steps, from step 0."""
        more = 1 if self.network == "published" else 0
        return NoiseSchedule(self.steps + more, self.beta, last_sampled=more)


class LatentDiffusion(nn.Module):
    """All that sampling needs: noise predictor, schedule and the embeddings' standardisation.

    Args:
        embedding: Components D of an embedding.
        config: Net and schedule.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, embedding: int, config: DiffusionConfig) -> None:
        super().__init__()
        self.net = config.build_network(embedding)
        self.schedule = config.build_schedule()
        self.register_buffer("mean", torch.zeros(embedding))
        self.register_buffer("std", torch.ones(embedding))

    def standardise_like(self, h_TD: Tensor) -> None:
        """Take mean and standard deviation from these embeddings, per component.

        Raises:
            ValueError: A component does not vary.
        """
        std_D = h_TD.std(dim=0, correction=0)
        if not bool((std_D > 0).all()):
            raise ValueError(
                f"{int((std_D <= 0).sum())} of {len(std_D)} embedding components do not vary over "
                f"{len(h_TD)} training days: set standardise to false, or check the encoder"
            )
        self.mean.copy_(h_TD.mean(dim=0))
        self.std.copy_(std_D)

    def forward(
        self, target_BD: Tensor, condition_BD: Tensor, step_B: Tensor, noise_BD: Tensor
    ) -> Tensor:
        """Return the loss, a scalar: mean squared error of the predicted noise.

        Args:
            target_BD: Embeddings of full days.
            condition_BD: Embeddings of the same days, masked.
            step_B: Diffusion step of each row, counted from 0.
            noise_BD: Standard normal.
        """
        noisy_BD = self.schedule.add_noise(self._scaled(target_BD), step_B, noise_BD)
        return mse_loss(self.net(noisy_BD, step_B, self._scaled(condition_BD)), noise_BD)

    @torch.no_grad()
    def denoise(self, condition_BD: Tensor, noise_of_step: Callable[[int], Tensor]) -> Tensor:
        """Run the reverse process from pure noise and return embeddings (B, D).

        Args:
            condition_BD: Embeddings of masked days.
            noise_of_step: Standard normal (B, D); called with the number of variances for the
                start, then once for every step from the highest on but the last sampled one.
        """
        self.eval()  # batch norms take what they have learnt, not the batch
        steps, last = len(self.schedule), self.schedule.last_sampled
        scaled_BD = self._scaled(condition_BD)
        h_BD = noise_of_step(steps)
        for step in reversed(range(last, steps)):
            step_B = torch.full((len(h_BD),), step, device=h_BD.device)
            predicted_BD = self.net(h_BD, step_B, scaled_BD)
            noise_BD = noise_of_step(step) if step > last else torch.zeros_like(h_BD)
            h_BD = self.schedule.step_back(h_BD, step, predicted_BD, noise_BD)
        return h_BD * self.std + self.mean

    def _scaled(self, h_BD: Tensor) -> Tensor:
        return (h_BD - self.mean) / self.std


def train_diffusion(
    conditions: LatentsOfEpoch,
    targets: Tensor,
    validation: tuple[Tensor, Tensor],
    config: DiffusionConfig,
    seed: int,
    on_epoch: OnEpoch,
) -> LatentDiffusion:
    """Train the noise predictor and return the model with its last weights.

    Args:
        conditions: Gives the masked training days' embeddings (days, D); called once an epoch.
        targets: Embeddings (days, D) of the same days in full; training runs on their device.
        validation: Embeddings of the validation days, masked and in full, each (days, D).
        config: Net, schedule and optimisation.
        seed: Initial weights, order, steps and noise depend on it alone.
        on_epoch: Receives ``loss``, ``validation_loss`` and ``lr`` after every epoch. Validation
            draws the same steps and noise in every epoch.

    Raises:
        ValueError: Conditions and targets do not belong together.
    """
    _check_pairs(*validation, "validation")
    validation_TD, validation_target_TD = (h_TD.to(targets.device) for h_TD in validation)
    with repeatable(derive_seed(seed, "diffusion weights"), torch.device("cpu")):
        model = LatentDiffusion(targets.shape[-1], config)
    model.to(targets.device)
    if config.standardise:
        model.standardise_like(targets)
    optimiser = torch.optim.Adam(model.parameters(), lr=config.lr)
    for epoch in range(config.epochs):
        h_TD = latents_for(conditions, epoch, targets)
        _check_pairs(h_TD, targets, "training")
        order = derive_seed(seed, "diffusion order", epoch)
        batches = minibatches(len(targets), config.batch_size, order, fewest=2)  # batch norm
        with repeatable(derive_seed(seed, "diffusion noise", epoch), targets.device):
            loss = train_epoch(model, optimiser, batches, partial(_loss, model, h_TD, targets))
        model.eval()
        with repeatable(derive_seed(seed, "diffusion validation"), targets.device):
            loss_of = partial(_loss, model, validation_TD, validation_target_TD)
            validation_loss = mean_loss(len(validation_TD), config.batch_size, loss_of)
        on_epoch(epoch, {"loss": loss, "validation_loss": validation_loss, "lr": config.lr})
    return model


def _loss(
    model: LatentDiffusion, condition_TD: Tensor, target_TD: Tensor, rows_B: Tensor
) -> Tensor:
    """Return the loss of the given days, each at a random step with random noise."""
    rows_B = rows_B.to(target_TD.device)
    target_BD = target_TD[rows_B]
    step_B = torch.randint(len(model.schedule), rows_B.shape, device=rows_B.device)
    loss: Tensor = model(target_BD, condition_TD[rows_B], step_B, torch.randn_like(target_BD))
    return loss


def _check_pairs(condition_TD: Tensor, target_TD: Tensor, split: str) -> None:
    if condition_TD.shape != target_TD.shape or len(target_TD) == 0:
        raise ValueError(
            f"{split} conditions have shape {tuple(condition_TD.shape)}, targets "
            f"{tuple(target_TD.shape)}: pass the same days, masked and in full"
        )


def sample(model: LatentDiffusion, condition_BD: Tensor, samples: int, seed: int) -> Tensor:
    """Return samples of full-day embeddings, (samples, B, D).

    All samples of all conditions go through every step in one batch. The same seed gives the
    same samples for the same conditions on the same kind of device.

    Args:
        model: On the conditions' device.
        condition_BD: Embeddings of masked days.
        samples: How many for each.
        seed: All noise depends on it alone.
    """
    device, (rows, embedding) = condition_BD.device, condition_BD.shape
    generator = torch.Generator(device).manual_seed(derive_seed(seed, "diffusion samples"))

    def noise_of_step(step: int) -> Tensor:
        return torch.randn(samples * rows, embedding, generator=generator, device=device)

    h_BD = model.denoise(condition_BD.repeat(samples, 1), noise_of_step)
    return h_BD.view(samples, rows, embedding)
