"""The projection head, from embedding h to projection z; only contrastive losses use it."""

from torch import Tensor, nn

from sparta_ray.models.batch_norm import GlobalBatchNorm1d


class ProjectionHead(nn.Module):
    """Three linear layers with batch norms that use the batch's statistics, in eval mode too."""

    def __init__(self, embedding: int = 1000, projection: int = 128):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(embedding, projection),
            GlobalBatchNorm1d(projection, track_running_stats=False),
            nn.ReLU(),
            nn.Linear(projection, projection),
            GlobalBatchNorm1d(projection, track_running_stats=False),
            nn.ReLU(),
            nn.Linear(projection, projection),
        )

    def forward(self, h_BD: Tensor) -> Tensor:
        """Return the projection z, shape (B, P)."""
        z_BP: Tensor = self.layers(h_BD)
        return z_BP
