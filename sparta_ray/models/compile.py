"""Compiling networks with ``torch.compile``, all but their dropout."""

from sparta_ray.models.dropout import RowDropout
from sparta_ray.models.sparta import Model


def compile_networks(model: Model, backend: str = "inductor") -> None:
    """Compile a model's encoder and decoder; losses agree with uncompiled ones up to rounding.

    Args:
        model: Changed in place.
        backend: Of ``torch.compile``.
    """
    for part in (model.encoder, model.decoder):
        for layer in part.modules():
            if isinstance(layer, RowDropout):
                layer.draw_eagerly()
        part.compile(backend=backend)
