"""Compiled networks, which dropout has to be kept out of."""

from sparta_ray.models.dropout import RowDropout
from sparta_ray.models.sparta import Model


def compile_networks(model: Model, backend: str = "inductor") -> None:
    """Let ``torch.compile`` make a model's encoder and decoder; their losses agree up to rounding.

    Args:
        model: Changed in place.
        backend: Of ``torch.compile``.
    """
    for part in (model.encoder, model.decoder):
        for layer in part.modules():
            if isinstance(layer, RowDropout):
                layer.draw_eagerly()
        part.compile(backend=backend)
