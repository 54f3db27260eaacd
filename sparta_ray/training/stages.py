"""The four stages: what each trains, which loss it minimises and on which views.

Legend: B rows, V variables, X × Y grid, I × J view, D embedding, P projection.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Literal

from pydantic import Discriminator, Field, field_validator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sparta_ray.base.config import STRICT
from sparta_ray.base.distributed import gather_rows, world
from sparta_ray.base.shares import rank_rows
from sparta_ray.data.batches.compact import Needs
from sparta_ray.data.batches.expand import Fields, Views
from sparta_ray.losses.cycle import cycle_consistency, cycle_consistency_of_directions
from sparta_ray.losses.kinds import (
    ContrastiveLoss,
    NtXent,
    ProjectedRows,
    SoftContrastive,
    SupervisedContrastive,
)
from sparta_ray.losses.precision import at_least_float32
from sparta_ray.losses.reconstruction import reconstruction
from sparta_ray.models.dropout import RowDropout
from sparta_ray.models.sparta import Autoencoder, Model, ModelConfig, Sparta

ModelKind = Literal["sparta", "autoencoder"]
Terms = dict[str, Tensor]


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
    """A stage whose encoder trains, and so normalises by the whole batch.

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
    """Stage 2: all parts, moving from the contrastive to the reconstruction loss.

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
    """Stage 3: the decoder alone, on embeddings of the frozen encoder.

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
    """Return which parts of a batch row a stage looks at."""
    is_contrastive = isinstance(stage, PretrainStage | JointStage)
    return Needs(
        contrastive=is_contrastive,
        input=not isinstance(stage, PretrainStage),
        labels=is_contrastive
        and isinstance(contrastive.loss, SupervisedContrastive | SoftContrastive),
    )


def alpha(stage: JointStage, epoch: int) -> float:
    """Return the contrastive share of stage 2's loss: 1 at epoch 0, 0.083 at the published end."""
    return math.exp(-stage.alpha_decay * epoch)


@plain_dataclass(frozen=True)
class BatchPart:
    """Some of a rank's rows of a batch, whose loss is a share of the whole batch's.

    Attributes:
        first_row: Number of the first of them, among the rank's.
        weight: Weight of each variable's present values in the whole batch, on all ranks, (V,).
    """

    first_row: int
    weight: Tensor


class StageModule(nn.Module):
    """A model with one stage's loss on top; the part that is trained requires gradients.

    Wrapping model and loss together lets one forward call serve plain, distributed and compiled
    training alike. Its losses are those of the whole batch, on every rank the same.
    """

    area: Tensor | None

    def __init__(
        self,
        stage: StageConfig,
        model: Model,
        contrastive: ContrastiveConfig,
        area_Y: Tensor | None = None,
    ):
        """Prepare `model` for `stage`; `area_Y` weighs latitudes in reconstruction losses."""
        super().__init__()
        self.register_buffer("area", area_Y, persistent=False)
        self.stage, self.model = stage, model
        self._contrastive = contrastive
        for name, part in model.named_children():
            part.requires_grad_(name in self._trained_parts())

    def _trained_parts(self) -> tuple[str, ...]:
        match self.stage:
            case PretrainStage():
                return "encoder", "projector"
            case DecodeStage():
                return ("decoder",)
            case _:
                return "encoder", "projector", "decoder"

    def train(self, mode: bool = True) -> "StageModule":
        """Switch to training; a frozen encoder stays in eval mode, with its running statistics."""
        super().train(mode)
        if isinstance(self.stage, DecodeStage):
            self.model.encoder.eval()
        return self

    def forward(self, views: Views, epoch: int, rows: int, part: BatchPart | None = None) -> Terms:
        """Return the stage's loss under ``loss`` and its terms, of the rows of all ranks.

        Args:
            views: One batch; of several ranks, this rank's rows.
            epoch: From 0; stage 2 fades by it.
            rows: Rows of the batch, on all ranks.
            part: Of decode: which part of the rank's rows the views are; the losses of all parts
                add up to that of the batch.
        """
        self._number_rows(rows, 0 if part is None else part.first_row)
        match self.stage:
            case PretrainStage():
                terms, _ = self._contrastive_terms(views, rows)
                return {"loss": self._contrastive_loss(terms), **terms}
            case JointStage():
                return self._joint_terms(self.stage, views, epoch, rows)
            case _:
                decoded = self._reconstruction_term(views, part)
                return {"loss": decoded, "reconstruction": decoded}

    def _number_rows(self, rows: int, first_row: int) -> None:
        """Tell dropout which of the batch's rows come next."""
        mine = rank_rows(slice(0, rows), *world())
        for part in self.modules():
            if isinstance(part, RowDropout):
                part.first_row = mine.start + first_row

    def _contrastive_loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        kind, weight = self._contrastive.loss.kind, self._contrastive.cycle_weight
        return terms[kind] + weight * terms["cycle"]

    def _contrastive_terms(self, views: Views, rows: int) -> tuple[Terms, tuple[Tensor, Tensor]]:
        """Return ℓ_c and the cycle loss (Eq. 7 and 8), and the neighbours' embeddings."""
        assert isinstance(self.model, Sparta)
        assert views.anchor is not None
        assert views.after is not None
        assert views.before is not None
        h_BD, z_BP = self.model.project(views.anchor)
        h_after_BD, z_after_BP = self.model.project(views.after)
        h_before_BD, z_before_BP = self.model.project(views.before)
        projected = ProjectedRows(
            *(gather_rows(at_least_float32(z), rows) for z in (z_before_BP, z_BP, z_after_BP)),
            *(None if x is None else gather_rows(x, rows) for x in (views.step, views.season)),
        )
        loss = self._contrastive.loss
        normalise = self._contrastive.cycle_normalise
        cycle_loss = cycle_consistency_of_directions if normalise else cycle_consistency
        cycle = cycle_loss(h_before_BD, h_BD, h_after_BD)
        return {loss.kind: loss(projected), "cycle": cycle}, (h_after_BD, h_before_BD)

    def _joint_terms(self, stage: JointStage, views: Views, epoch: int, rows: int) -> Terms:
        """Return α L_c + (1 - α) L_r and what it is made of (Eq. 16 and 17)."""
        terms, (h_after_BD, h_before_BD) = self._contrastive_terms(views, rows)
        decoder, fields = self.model.decoder, views.fields
        assert fields.after is not None
        assert fields.before is not None
        later = self._reconstruction(decoder(h_after_BD), fields.after, fields)
        neighbours = later + self._reconstruction(decoder(h_before_BD), fields.before, fields)
        day = self._reconstruction_term(views)
        a = alpha(stage, epoch)
        loss = a * (self._contrastive_loss(terms) + neighbours) + (1 - a) * day
        return {
            "loss": loss,
            **terms,
            "neighbour_reconstruction": neighbours,
            "reconstruction": day,
        }

    def _reconstruction_term(self, views: Views, part: BatchPart | None = None) -> Tensor:
        assert views.input is not None
        decoded = self.model.decoder(self.model.encoder(views.input))
        return self._reconstruction(decoded, views.fields.day, views.fields, part)

    def _reconstruction(
        self,
        decoded_BVXY: Tensor,
        truth_BVXY: Tensor,
        fields: Fields,
        part: BatchPart | None = None,
    ) -> Tensor:
        weight_V = None if part is None else part.weight
        return reconstruction(decoded_BVXY, truth_BVXY, fields.gaps, self.area, weight_V)


def build_model(
    kind: ModelKind, variables: Sequence[str], grid: tuple[int, int], config: ModelConfig
) -> Model:
    """Return a fresh model of a kind."""
    model_class = Autoencoder if kind == "autoencoder" else Sparta
    return model_class(variables, grid, config)


def compile_networks(model: Model, backend: str = "inductor") -> None:
    """Let ``torch.compile`` make a model's encoder and decoder; their losses agree up to rounding.

    Args:
        model: Changed in place.
        backend: Of ``torch.compile``.
    """
    for part in (model.encoder, model.decoder):
        for layer in part.modules():
            if isinstance(layer, RowDropout):
                layer.draw_eagerly()
        part.compile(backend=backend)
