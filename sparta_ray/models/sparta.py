"""The two models of the paper: SPARTA, and the autoencoder it is compared with."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sparta_ray.base.config import STRICT
from sparta_ray.models.decoder import Decoder
from sparta_ray.models.encoder import EncoderConfig
from sparta_ray.models.fusion import EarlyFusionConfig, FusionConfig, build_encoder
from sparta_ray.models.projection import ProjectionHead
from sparta_ray.models.resnet import ResNet18Config


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ModelConfig:
    """Both models: their encoder, their sizes, and where SPARTA's variables meet.

    Attributes:
        encoder: Network from a view to its embedding, of both models; ``resnet18`` is published.
        fusion: ``early`` in the encoder's first layer; or late, with an encoder for each variable,
            by ``attention`` or by a ``graph``. The autoencoder's is always early.
        width: Factor on the channels inside encoder and decoder; 1.0 is published.
        decoder_width: Factor for the decoder alone; None takes `width`.
        embedding: Size D of h.
        projection: Size P of z.
        decoder_dropout: Dropout in SPARTA's decoder; the autoencoder's has none.
        autoencoder_decoder: The autoencoder's decoder is ``smaller``, as published, or the ``same``
            as SPARTA's.
        mask_channels: Whether each variable has a further channel that tells the encoder which of
            its values are present. As published it has none, and a missing value looks like the
            mean.
        periodic: Whose convolutions join the two ends of longitude: ``none``, as published; those
            of the ``decoder``, whose maps span the globe; or those of ``both``. Of the encoder's
            views only the input view spans the globe; the ends of a crop lie 36 degrees apart.
    """

    encoder: EncoderConfig = Field(default_factory=ResNet18Config)
    fusion: FusionConfig = Field(default_factory=EarlyFusionConfig)
    width: float = Field(default=1.0, gt=0)
    decoder_width: float | None = Field(default=None, gt=0)
    embedding: int = Field(default=1000, ge=2)
    projection: int = Field(default=128, ge=2)
    decoder_dropout: float = Field(default=0.1, ge=0, lt=1)
    autoencoder_decoder: Literal["smaller", "same"] = "smaller"
    mask_channels: bool = False
    periodic: Literal["none", "decoder", "both"] = "none"

    def channels(self, variables: int) -> int:
        """Return the number of input channels of an encoder of so many variables."""
        return 2 * variables if self.mask_channels else variables

    def encoder_of(self, variables: int) -> nn.Module:
        """Return a fresh encoder that sees some variables together."""
        channels, periodic = self.channels(variables), self.periodic == "both"
        return self.encoder.build(channels, self.embedding, self.width, periodic)

    def decoder(self, variables: int, grid: tuple[int, int]) -> Decoder:
        """Return SPARTA's decoder."""
        return self._decoder(variables, grid, 2, self.decoder_dropout)

    def decoder_of_autoencoder(self, variables: int, grid: tuple[int, int]) -> Decoder:
        """Return the autoencoder's decoder."""
        if self.autoencoder_decoder == "same":
            return self.decoder(variables, grid)
        return self._decoder(variables, grid, 1, 0.0)

    def _decoder(
        self, variables: int, grid: tuple[int, int], expansion: int, dropout: float
    ) -> Decoder:
        width = self.width if self.decoder_width is None else self.decoder_width
        periodic = self.periodic != "none"
        return Decoder(variables, grid, self.embedding, width, expansion, dropout, periodic)


class Sparta(nn.Module):
    """Encoder f, projection head g and decoder."""

    def __init__(self, variables: Sequence[str], grid: tuple[int, int], config: ModelConfig):
        super().__init__()
        self.encoder = build_encoder(config.fusion, variables, config.embedding, config.encoder_of)
        self.projector = ProjectionHead(config.embedding, config.projection)
        self.decoder = config.decoder(len(variables), grid)

    def project(self, x_BCIJ: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embedding h (B, D) and projection z (B, P) of views (Eq. 3)."""
        h_BD: Tensor = self.encoder(x_BCIJ)
        return h_BD, self.projector(h_BD)


class Autoencoder(nn.Module):
    """The baseline: an early encoder and a decoder, trained to reconstruct (Eq. 1)."""

    def __init__(self, variables: Sequence[str], grid: tuple[int, int], config: ModelConfig):
        super().__init__()
        self.encoder = config.encoder_of(len(variables))
        self.decoder = config.decoder_of_autoencoder(len(variables), grid)


Model = Sparta | Autoencoder
"""Has an `encoder` (views to h) and a `decoder` (h to fields)."""


def parameter_count(module: nn.Module) -> int:
    """Return the number of trainable and frozen parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
