"""Season classification from one embedding: a small multilayer perceptron.

Shape legend: T day, B batch row, D embedding, S season.
"""

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sparta_ray.base.config import STRICT
from sparta_ray.base.seeding import derive_seed
from sparta_ray.data.plan.seasons import SEASONS
from sparta_ray.downstream.training import (
    LatentsOfEpoch,
    OnEpoch,
    latents_for,
    minibatches,
    repeatable,
    train_epoch,
)
from sparta_ray.training.plateau import PlateauConfig, plateau_schedule


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ClassificationConfig:
    """The season classifier and its training; the defaults are the published ones.

    Attributes:
        hidden: Units of each hidden layer, first to last.
        dropout: Dropout probability after every hidden layer.
        epochs: Passes over the training days.
        batch_size: Days per batch; batch norm needs two.
        lr: Adam's learning rate.
        weight_decay: Adam's L2 penalty.
        plateau: Learning-rate schedule.
    """

    hidden: tuple[int, ...] = Field(default=(250, 62), min_length=1)
    dropout: float = Field(default=0.5, ge=0, lt=1)
    epochs: int = Field(default=100, ge=1, le=1_000_000)
    batch_size: int = Field(default=64, ge=2)
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    plateau: PlateauConfig = Field(default_factory=PlateauConfig)


class SeasonClassifier(nn.Module):
    """Embedding (B, D) to one logit a season (B, S).

    Every hidden layer is linear, batch norm, leaky ReLU, dropout.

    Args:
        embedding: Components D of an embedding.
        config: Hidden sizes and dropout.
    """

    def __init__(self, embedding: int, config: ClassificationConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = embedding
        for hidden in config.hidden:
            layers += [nn.Linear(width, hidden), nn.BatchNorm1d(hidden)]
            layers += [nn.LeakyReLU(), nn.Dropout(config.dropout)]
            width = hidden
        self.layers = nn.Sequential(*layers, nn.Linear(width, len(SEASONS)))

    def forward(self, h_BD: Tensor) -> Tensor:
        """Return the logits (B, S)."""
        logits_BS: Tensor = self.layers(h_BD)
        return logits_BS


def train_classifier(
    train_latents: LatentsOfEpoch,
    train_labels: Tensor,
    validation: tuple[Tensor, Tensor],
    config: ClassificationConfig,
    seed: int,
    on_epoch: OnEpoch,
) -> SeasonClassifier:
    """Train on cross-entropy and return the classifier with its last weights.

    Args:
        train_latents: Gives the training days' embeddings (days, D); called once an epoch.
        train_labels: Season of each training day (days,), from `season_of`.
        validation: Embeddings (days, D) and labels (days,) of the validation days; training runs
            on the embeddings' device.
        config: Sizes and optimisation.
        seed: Initial weights, dropout and order depend on it alone.
        on_epoch: Receives ``loss``, ``validation_loss``, ``validation_accuracy`` and ``lr`` after
            every epoch.

    Raises:
        ValueError: Embeddings and labels do not belong together, or fewer than two days.
    """
    h_validation_TD, validation_labels_T = validation
    device = h_validation_TD.device
    labels_T = train_labels.to(device)
    _check_labels(len(h_validation_TD), validation_labels_T, "validation")
    with repeatable(derive_seed(seed, "classification weights"), torch.device("cpu")):
        model = SeasonClassifier(h_validation_TD.shape[-1], config)
    model.to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    schedule = plateau_schedule(optimiser, config.plateau)
    for epoch in range(config.epochs):
        h_TD = latents_for(train_latents, epoch, h_validation_TD)
        _check_labels(len(h_TD), labels_T, "training")
        loss = _train_on_days(model, optimiser, h_TD, labels_T, config, seed, epoch)
        validation_loss, accuracy = score_classifier(model, h_validation_TD, validation_labels_T)
        lr = optimiser.param_groups[0]["lr"]
        schedule.step(validation_loss)
        on_epoch(
            epoch,
            {
                "loss": loss,
                "validation_loss": validation_loss,
                "validation_accuracy": accuracy,
                "lr": lr,
            },
        )
    return model


@torch.no_grad()
def score_classifier(
    model: SeasonClassifier, h_TD: Tensor, labels_T: Tensor
) -> tuple[float, float]:
    """Return cross-entropy (nats) and accuracy (0 … 1) over all days, without dropout.

    Args:
        model: Left in the mode it was in.
        h_TD: Embeddings (days, D).
        labels_T: Seasons (days,).
    """
    was_training = model.training
    model.eval()
    logits_TS = model(h_TD)
    model.train(was_training)
    labels_T = labels_T.to(h_TD.device)
    accuracy = (logits_TS.argmax(dim=1) == labels_T).double().mean()
    return float(cross_entropy(logits_TS, labels_T)), float(accuracy)


def _train_on_days(
    model: SeasonClassifier,
    optimiser: torch.optim.Optimizer,
    h_TD: Tensor,
    labels_T: Tensor,
    config: ClassificationConfig,
    seed: int,
    epoch: int,
) -> float:
    def loss_of(rows_B: Tensor) -> Tensor:
        rows_B = rows_B.to(h_TD.device)
        return cross_entropy(model(h_TD[rows_B]), labels_T[rows_B])

    order = derive_seed(seed, "classification order", epoch)
    # Batch norm has no statistics of a single row: such a last batch joins the one before.
    batches = minibatches(len(h_TD), config.batch_size, order, fewest=2)
    with repeatable(derive_seed(seed, "classification dropout", epoch), h_TD.device):
        return train_epoch(model, optimiser, batches, loss_of)


def _check_labels(days: int, labels_T: Tensor, split: str) -> None:
    if labels_T.shape != (days,) or days < 2:
        raise ValueError(
            f"{split} has {days} embeddings and labels of shape {tuple(labels_T.shape)}: "
            "pass one label an embedding, and at least two days"
        )
    if not 0 <= int(labels_T.min()) <= int(labels_T.max()) < len(SEASONS):
        raise ValueError(
            f"{split} labels run from {int(labels_T.min())} to {int(labels_T.max())}: "
            f"a season is 0 to {len(SEASONS) - 1}, as season_of gives it"
        )
