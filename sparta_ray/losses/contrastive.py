"""NT-Xent: each row must recognise its partner among all rows of two views.

Legend: N rows, P projection.
"""

import torch
from torch import Tensor
from torch.nn import functional

from sparta_ray.losses.precision import at_least_float32


def nt_xent(z_a_NP: Tensor, z_b_NP: Tensor, temperature: float) -> Tensor:
    """Return the normalised temperature-scaled cross-entropy of N pairs (Eq. 4 and 5).

    Each of the 2N projections is compared by cosine similarity with the other 2N - 1; its partner
    is the right answer. Written as one cross-entropy over a 2N x 2N matrix. An uninformed model
    scores log(2N - 1).

    Args:
        z_a_NP: Projections of one view.
        z_b_NP: Projections of the other; row n is row n's partner.
        temperature: τ, above 0.

    Returns:
        Mean over the 2N rows, a scalar in at least float32.
    """
    n = len(z_a_NP)
    z = functional.normalize(at_least_float32(torch.cat([z_a_NP, z_b_NP])), dim=1)
    with torch.autocast(z.device.type, enabled=False):
        similarity = z @ z.T / temperature
    itself = torch.eye(2 * n, dtype=torch.bool, device=z.device)
    partner = torch.arange(2 * n, device=z.device).roll(n)
    return functional.cross_entropy(similarity.masked_fill(itself, -torch.inf), partner)
