"""The four stages: what each trains, which loss it minimises and on which views.

Legend: B rows, V variables, X × Y grid, I × J view, D embedding, P projection.
"""

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

from pydantic import Discriminator, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sparta_ray.config import STRICT
from sparta_ray.data.compact import Needs
from sparta_ray.data.expand import Views
from sparta_ray.losses.contrastive import nt_xent
from sparta_ray.losses.cycle import cycle_consistency
from sparta_ray.losses.reconstruction import reconstruction
from sparta_ray.models.sparta import Autoencoder, Model, ModelConfig, Sparta

ModelKind = Literal["sparta", "autoencoder"]
Terms = dict[str, Tensor]
Gather = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ContrastiveConfig:
    """Weights inside the contrastive loss.

    Attributes:
        temperature: τ of NT-Xent.
        cycle_weight: Factor on the cycle-consistency loss; 0 leaves it out.
    """

    temperature: float = Field(default=0.3, gt=0)
    cycle_weight: float = Field(default=1.0, ge=0)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PretrainStage:
    """Stage 1: encoder and projection head on the contrastive loss."""

    kind: Literal["pretrain"] = "pretrain"
    epochs: int = Field(default=100, ge=1)
    lr: float = Field(default=1e-4, gt=0)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class JointStage:
    """Stage 2: all parts, moving from the contrastive to the reconstruction loss.

    Attributes:
        alpha_decay: k of α = exp(-k · epoch).
    """

    kind: Literal["joint"] = "joint"
    epochs: int = Field(default=250, ge=1)
    lr: float = Field(default=1e-4, gt=0)
    alpha_decay: float = Field(default=0.01, ge=0)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DecodeStage:
    """Stage 3: the decoder alone, on embeddings of the frozen encoder."""

    kind: Literal["decode"] = "decode"
    epochs: int = Field(default=200, ge=1)
    lr: float = Field(default=1e-4, gt=0)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AutoencoderStage:
    """The baseline: its own encoder and decoder on the reconstruction loss."""

    kind: Literal["autoencoder"] = "autoencoder"
    epochs: int = Field(default=180, ge=1)
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


def needs(stage: StageConfig) -> Needs:
    """Return which parts of a batch row a stage looks at."""
    return Needs(
        contrastive=isinstance(stage, PretrainStage | JointStage),
        input=not isinstance(stage, PretrainStage),
    )


def alpha(stage: JointStage, epoch: int) -> float:
    """Return the contrastive share of stage 2's loss: 1 at epoch 0, 0.083 at the published end."""
    return math.exp(-stage.alpha_decay * epoch)


class StageModule(nn.Module):
    """A model with one stage's loss on top; the part that is trained requires gradients.

    Wrapping model and loss together lets one forward call serve plain, distributed and compiled
    training alike.
    """

    def __init__(
        self, stage: StageConfig, model: Model, contrastive: ContrastiveConfig, gather: Gather
    ):
        """Prepare `model` for `stage`; `gather` joins the ranks' rows, keeping gradients."""
        super().__init__()
        self.stage, self.model = stage, model
        self._contrastive, self._gather = contrastive, gather
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

    def forward(self, views: Views, epoch: int, share: float = 1.0) -> Terms:
        """Return the stage's loss under ``loss`` and its terms.

        Args:
            views: One batch; of several ranks, this rank's rows.
            epoch: From 0; stage 2 fades by it.
            share: This rank's rows over the mean rows of a rank: weighs means over rows so that
                the ranks' average is the mean over all rows.
        """
        match self.stage:
            case PretrainStage():
                terms, _ = self._contrastive_terms(views, share)
                return {"loss": self._contrastive_loss(terms), **terms}
            case JointStage():
                return self._joint_terms(self.stage, views, epoch, share)
            case _:
                decoded = self._reconstruction_term(views, share)
                return {"loss": decoded, "reconstruction": decoded}

    def _contrastive_loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        return terms["nt_xent"] + self._contrastive.cycle_weight * terms["cycle"]

    def _contrastive_terms(self, views: Views, share: float) -> tuple[Terms, tuple[Tensor, Tensor]]:
        """Return ℓ_c and the cycle loss (Eq. 7 and 8), and the neighbours' embeddings."""
        assert isinstance(self.model, Sparta)
        assert views.anchor is not None
        assert views.after is not None
        assert views.before is not None
        h_BD, z_BP = self.model.project(views.anchor)
        h_after_BD, z_after_BP = self.model.project(views.after)
        h_before_BD, z_before_BP = self.model.project(views.before)
        z_NP, tau = self._gather(z_BP), self._contrastive.temperature
        later = nt_xent(z_NP, self._gather(z_after_BP), tau)
        earlier = nt_xent(z_NP, self._gather(z_before_BP), tau)
        cycle = cycle_consistency(h_before_BD, h_BD, h_after_BD) * share
        return {"nt_xent": later + earlier, "cycle": cycle}, (h_after_BD, h_before_BD)

    def _joint_terms(self, stage: JointStage, views: Views, epoch: int, share: float) -> Terms:
        """Return α L_c + (1 - α) L_r and what it is made of (Eq. 16 and 17)."""
        terms, (h_after_BD, h_before_BD) = self._contrastive_terms(views, share)
        assert views.fields.after is not None
        assert views.fields.before is not None
        decoder = self.model.decoder
        neighbours = (
            reconstruction(decoder(h_after_BD), views.fields.after)
            + reconstruction(decoder(h_before_BD), views.fields.before)
        ) * share
        day = self._reconstruction_term(views, share)
        a = alpha(stage, epoch)
        loss = a * (self._contrastive_loss(terms) + neighbours) + (1 - a) * day
        return {
            "loss": loss,
            **terms,
            "neighbour_reconstruction": neighbours,
            "reconstruction": day,
        }

    def _reconstruction_term(self, views: Views, share: float) -> Tensor:
        assert views.input is not None
        decoded = self.model.decoder(self.model.encoder(views.input))
        return reconstruction(decoded, views.fields.day) * share


def build_model(
    kind: ModelKind, variables: int, grid: tuple[int, int], config: ModelConfig
) -> Model:
    """Return a fresh model of a kind."""
    model_class = Autoencoder if kind == "autoencoder" else Sparta
    return model_class(variables, grid, config)
