"""Metrics of the contrastive stages, a class for each loss that a run may be trained with."""

from collections.abc import Sequence

from sparta_ray.metrics.metric import Metric


class TrainedLoss(Metric):
    """A contrastive loss of the validation split; its key is the loss's ``kind``.

    Attributes:
        pairs: How many terms the loss adds up, one for each neighbour; a score is their mean.
    """

    better = "lower"
    pairs: int = 2


class NTXent(TrainedLoss):
    """See `losses.nt_xent`; the only one whose chance level is shown."""

    key = "nt_xent"
    label = "NT-Xent"
    meaning = "Contrastive loss, mean of the two pairs."


class ChanceLevel(Metric):
    """The NT-Xent of a model that guesses."""

    key = "guessing"
    label = "NT-Xent at chance level"
    better = None
    meaning = "log(2N - 1): the loss of a model that cannot tell a batch's N rows apart."


class Supervised(TrainedLoss):
    """See `losses.supervised_contrastive`."""

    key = "supervised"
    label = "Supervised contrastive"
    meaning = "Contrastive loss whose positives are all days of a season, mean of the two pairs."


class BarlowTwins(TrainedLoss):
    """See `losses.barlow_twins`."""

    key = "barlow_twins"
    label = "Barlow Twins"
    meaning = "How far two views' correlations are from the identity, mean of the two pairs."


class Soft(TrainedLoss):
    """See `losses.soft_contrastive`."""

    key = "soft"
    label = "Soft contrastive"
    meaning = "Contrastive loss with positives weighted by nearness in time, mean of the two pairs."


class Adjacent(TrainedLoss):
    """See `losses.adjacent_positives`."""

    key = "adjacent"
    label = "Adjacent positives"
    meaning = "Contrastive loss with both neighbours as positives in one term; it may be negative."
    pairs = 1


CONTRASTIVE_METRICS: Sequence[Metric] = (
    NTXent(),
    ChanceLevel(),
    Supervised(),
    BarlowTwins(),
    Soft(),
    Adjacent(),
)
"""Every metric of the contrastive stages."""
