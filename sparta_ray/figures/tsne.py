"""t-SNE in its exact form (van der Maaten and Hinton, 2008), for a few hundred points.

Legend: N points, D components.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE

Floats = NDArray[np.floating[Any]]

EXAGGERATION = 4.0
"""How much more strongly neighbours attract each other in the first 250 steps."""


def tsne(h_ND: Floats, seed: int, perplexity: float = 15.0, steps: int = 750) -> Floats:
    """Return points of the plane whose neighbours are those of the embeddings, shape (N, 2).

    Args:
        h_ND: Embeddings; at least four.
        seed: Of the points' first places.
        perplexity: About how many neighbours a point has; at most a third of the others.
        steps: Gradient steps; the first 250 draw neighbours together fourfold.

    Raises:
        ValueError: There are fewer than four embeddings.
    """
    count = len(h_ND)
    if count < 4:
        raise ValueError(f"t-SNE needs at least 4 points, not {count}")
    model = TSNE(
        method="exact",
        init="random",
        perplexity=min(perplexity, (count - 1) / 3),
        early_exaggeration=EXAGGERATION,
        learning_rate=max(count / 12, 50.0),
        max_iter=steps,
        random_state=seed,
    )
    h = h_ND.astype(np.float64)
    return np.asarray(model.fit_transform(h - h.mean(axis=0)), dtype=np.float64)
