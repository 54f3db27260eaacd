"""The two models of the paper: SPARTA, and the autoencoder it is judged by."""

from collections.abc import Sequence

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sparta_ray.config import STRICT
from sparta_ray.models.decoder import Decoder
from sparta_ray.models.fusion import EarlyFusionConfig, FusionConfig, build_encoder
from sparta_ray.models.projection import ProjectionHead
from sparta_ray.models.resnet import ResNetEncoder


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ModelConfig:
    """Sizes of both models, and where SPARTA's variables meet.

    Attributes:
        fusion: ``early``, or after an encoder for each variable, by ``attention`` or a ``graph``;
            the autoencoder's is always early.
        width: Factor on the channels of the encoder; 1.0 is published.
        decoder_width: The same for the decoder; None takes `width`.
        embedding: Size D of h.
        projection: Size P of z.
        decoder_dropout: Dropout in SPARTA's decoder; the autoencoder's has none.
    """

    fusion: FusionConfig = Field(default_factory=EarlyFusionConfig)
    width: float = Field(default=1.0, gt=0)
    decoder_width: float | None = Field(default=None, gt=0)
    embedding: int = Field(default=1000, ge=2)
    projection: int = Field(default=128, ge=2)
    decoder_dropout: float = Field(default=0.1, ge=0, lt=1)

    def decoder(
        self, variables: int, grid: tuple[int, int], expansion: int, dropout: float
    ) -> Decoder:
        """Return a decoder of these sizes."""
        width = self.width if self.decoder_width is None else self.decoder_width
        return Decoder(variables, grid, self.embedding, width, expansion, dropout)


class Sparta(nn.Module):
    """Encoder f, projection head g and decoder."""

    def __init__(self, variables: Sequence[str], grid: tuple[int, int], config: ModelConfig):
        super().__init__()
        self.encoder = build_encoder(config.fusion, variables, config.embedding, config.width)
        self.projector = ProjectionHead(config.embedding, config.projection)
        self.decoder = config.decoder(len(variables), grid, 2, config.decoder_dropout)

    def project(self, x_BVIJ: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embedding h (B, D) and projection z (B, P) of views (Eq. 3)."""
        h_BD: Tensor = self.encoder(x_BVIJ)
        return h_BD, self.projector(h_BD)


class Autoencoder(nn.Module):
    """The baseline: the early encoder with a smaller decoder, trained to reconstruct (Eq. 1)."""

    def __init__(self, variables: Sequence[str], grid: tuple[int, int], config: ModelConfig):
        super().__init__()
        self.encoder = ResNetEncoder(len(variables), config.embedding, config.width)
        self.decoder = config.decoder(len(variables), grid, expansion=1, dropout=0.0)


Model = Sparta | Autoencoder
"""What has an `encoder` (views to h) and a `decoder` (h to fields)."""


def parameter_count(module: nn.Module) -> int:
    """Return the number of trainable and frozen parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
