"""The four stages, as configuration: what each trains, for how long, and what it looks at."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Discriminator, Field, field_validator
from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT
from sparta_ray.data.batches.compact import Needs
from sparta_ray.losses.kinds import ContrastiveLoss
from sparta_ray.losses.nt_xent import NtXent
from sparta_ray.models.sparta import Autoencoder, Model, ModelConfig, Sparta

ModelKind = Literal["sparta", "autoencoder"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ContrastiveConfig:
    """What the contrastive loss is made of.

    Attributes:
        loss: The loss on the projections.
        cycle_weight: Factor on the cycle-consistency loss; 0 leaves it out.
        cycle_normalise: Whether the cycle-consistency loss compares only the directions of
            embeddings. As published it also falls with their length, so that embeddings may shrink
            instead of varying smoothly.
    """

    loss: ContrastiveLoss = Field(default_factory=NtXent)
    cycle_weight: float = Field(default=1.0, ge=0)
    cycle_normalise: bool = False


@dataclass(frozen=True, kw_only=True, config=STRICT)
class _WholeBatch:
    """A stage that trains the encoder, whose batch norm needs the whole batch at once.

    Attributes:
        accumulate: Must be 1; only the decode stage can process a batch in parts.
    """

    accumulate: int = 1

    @field_validator("accumulate")
    @classmethod
    def _refuse_parts(cls, parts: int) -> int:
        if parts != 1:
            raise ValueError(
                f"{parts}: leave it at 1. This stage trains the encoder, whose first batch norm "
                "takes mean and variance of the whole batch (and so do the projection head's), and "
                "a contrastive loss compares all of its rows: parts of a batch would give another "
                "loss. Only stage decode, whose encoder is frozen, can accumulate. For less memory "
                "use more workers, which share one batch exactly"
            )
        return parts


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PretrainStage(_WholeBatch):
    """Stage 1: encoder and projection head on the contrastive loss.

    Attributes:
        epochs: Passes over the training days.
        lr: Adam's initial learning rate.
    """

    kind: Literal["pretrain"] = "pretrain"
    epochs: int = Field(default=100, ge=1, le=1_000_000)
    lr: float = Field(default=1e-4, gt=0)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class JointStage(_WholeBatch):
    """Stage 2: all parts, trained on a loss that moves from contrastive to reconstruction.

    Attributes:
        epochs: Passes over the training days.
        lr: Adam's initial learning rate.
        alpha_decay: Rate k at which the contrastive loss's weight α = exp(-k · epoch) decays
            [1/epoch].
    """

    kind: Literal["joint"] = "joint"
    epochs: int = Field(default=250, ge=1, le=1_000_000)
    lr: float = Field(default=1e-4, gt=0)
    alpha_decay: float = Field(default=0.01, ge=0)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DecodeStage:
    """Stage 3: only the decoder, trained on embeddings of the frozen encoder.

    Attributes:
        epochs: Passes over the training days.
        lr: Adam's initial learning rate.
        accumulate: Number of parts in which each rank processes its rows of a batch, to need less
            memory; loss and gradient remain those of the whole batch.
    """

    kind: Literal["decode"] = "decode"
    epochs: int = Field(default=200, ge=1, le=1_000_000)
    lr: float = Field(default=1e-4, gt=0)
    accumulate: int = Field(default=1, ge=1)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AutoencoderStage(_WholeBatch):
    """The baseline: its own encoder and decoder on the reconstruction loss.

    Attributes:
        epochs: Passes over the training days.
        lr: Adam's initial learning rate.
    """

    kind: Literal["autoencoder"] = "autoencoder"
    epochs: int = Field(default=180, ge=1, le=1_000_000)
    lr: float = Field(default=1e-3, gt=0)


StageConfig = Annotated[
    PretrainStage | JointStage | DecodeStage | AutoencoderStage, Discriminator("kind")
]

PUBLISHED_STAGES: tuple[StageConfig, ...] = (
    PretrainStage(),
    JointStage(),
    DecodeStage(),
    AutoencoderStage(),
)


def model_kind(stage: StageConfig) -> ModelKind:
    """Return which model a stage trains; consecutive stages of one kind share their weights."""
    return "autoencoder" if isinstance(stage, AutoencoderStage) else "sparta"


def needs(stage: StageConfig, contrastive: ContrastiveConfig) -> Needs:
    """Return which parts of a batch a stage looks at."""
    is_contrastive = isinstance(stage, PretrainStage | JointStage)
    return Needs(
        contrastive=is_contrastive,
        input=not isinstance(stage, PretrainStage),
        labels=is_contrastive and contrastive.loss.needs_labels,
    )


def alpha(stage: JointStage, epoch: int) -> float:
    """Return the contrastive share of stage 2's loss: 1 at epoch 0, 0.083 at the published end."""
    return math.exp(-stage.alpha_decay * epoch)


def build_model(
    kind: ModelKind, variables: Sequence[str], grid: tuple[int, int], config: ModelConfig
) -> Model:
    """Return a fresh model of a kind."""
    model_class = Autoencoder if kind == "autoencoder" else Sparta
    return model_class(variables, grid, config)
