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
    """Sizes of both models, and how SPARTA's variables are fused.

    Attributes:
        encoder: Network from a view to its embedding, in both models; ``resnet18`` is published.
        fusion: How variables are combined: ``early``, as the channels of one encoder; or each by
            its own encoder, whose embeddings are joined by ``attention`` or along a ``graph``. The
            autoencoder's fusion is always early.
        width: Factor on the number of channels of the encoder; 1.0 is the published width.
        decoder_width: The same for the decoder; None uses `width`.
        embedding: Size D of the embedding h.
        projection: Size P of the projection z.
        decoder_dropout: Dropout probability in SPARTA's decoder; the autoencoder's has no dropout.
        autoencoder_decoder: Whether the autoencoder's decoder is ``smaller`` than SPARTA's, as
            published, or the ``same``.
        mask_channels: Whether the encoders also receive a channel per variable that marks which
            values are present. As published they do not, and a missing value looks like the mean.
        periodic: Which convolutions wrap around in longitude: ``none``, as published; the
            ``decoder``'s, whose maps span the globe; or ``both``, the encoder's too. Of the
            encoder's views only the input view spans the globe; a crop then wraps to its own far
            edge, 36 degrees short.
    """

    encoder: EncoderConfig = Field(default_factory=ResNet18Config)
    fusion: FusionConfig = Field(default_factory=EarlyFusionConfig)
    width: float = Field(default=1.0, gt=0, le=64)
    decoder_width: float | None = Field(default=None, gt=0, le=64)
    embedding: int = Field(default=1000, ge=2, le=65_536)
    projection: int = Field(default=128, ge=2, le=65_536)
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
