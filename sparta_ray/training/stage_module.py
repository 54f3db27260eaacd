"""A model with the loss of one stage: which parts are trained, and on which terms.

Legend: B rows, V variables, X × Y grid, I × J view, D embedding, P projection.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from sparta_ray.base.distributed import gather_rows, world
from sparta_ray.base.shares import rank_rows
from sparta_ray.data.batches.expand import Fields, Views
from sparta_ray.losses.cycle import cycle_consistency, cycle_consistency_of_directions
from sparta_ray.losses.precision import at_least_float32
from sparta_ray.losses.projected_rows import ProjectedRows
from sparta_ray.losses.reconstruction import reconstruction
from sparta_ray.models.dropout import RowDropout
from sparta_ray.models.sparta import Model, Sparta
from sparta_ray.training.stages import (
    ContrastiveConfig,
    DecodeStage,
    JointStage,
    PretrainStage,
    StageConfig,
    alpha,
)

Terms = dict[str, Tensor]


@dataclass(frozen=True)
class BatchPart:
    """Which of a rank's rows a forward pass works on, and how they weigh in the whole batch.

    Attributes:
        first_row: Number of the first of them, among the rank's rows.
        weight: Total weight of each variable's present values in the batch of all ranks, (V,).
    """

    first_row: int
    weight: Tensor


class StageModule(nn.Module):
    """A model with the loss of one stage; only the parts that are trained require gradients.

    Since model and loss are one module, the same forward call serves plain, distributed and
    compiled training. Its losses are those of the whole batch, the same on every rank.
    """

    area: Tensor | None

    def __init__(
        self,
        stage: StageConfig,
        model: Model,
        contrastive: ContrastiveConfig,
        area_Y: Tensor | None = None,
    ):
        """Prepare `model` for `stage`; `area_Y` weights latitudes in reconstruction losses."""
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
        """Return the stage's loss, as ``loss``, and its terms; they are those of all ranks' rows.

        Args:
            views: This rank's rows of a batch.
            epoch: From 0; it decides how stage 2 weighs its losses.
            rows: Rows of the batch, on all ranks.
            part: In stage decode, which of the rank's rows the views hold; the losses of all parts
                add up to that of the batch. None if they hold all of them.
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
        """Tell dropout where in the whole batch the next rows stand."""
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
