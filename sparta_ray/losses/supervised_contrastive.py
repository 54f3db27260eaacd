"""Supervised contrastive: a row must recognise all rows with its label (Khosla et al. 2020).

Legend: N rows, P projection, M = 2N projections of two views.
"""

from torch import Tensor

from sparta_ray.losses.contrastive import pool_similarity


def supervised_contrastive(
    z_a_NP: Tensor, z_b_NP: Tensor, label_N: Tensor, temperature: float
) -> Tensor:
    """Return the mean over 2N projections of -1/|P| Σ log shares of their positives P.

    Positives are the partner and whatever else has the same label; a share is of all other 2N - 1.
    Where every label is another, this is NT-Xent.

    Args:
        z_a_NP: Projections of one view.
        z_b_NP: Projections of the other; row n is row n's partner.
        label_N: Class of each row, of both its views.
        temperature: τ, above 0.
    """
    share_MM = pool_similarity(z_a_NP, z_b_NP, temperature).log_softmax(dim=1)
    label_M = label_N.repeat(2)
    positive_MM = (label_M[:, None] == label_M).fill_diagonal_(False)
    total_M = share_MM.masked_fill(~positive_MM, 0.0).sum(dim=1)
    return -(total_M / positive_MM.sum(dim=1)).mean()
