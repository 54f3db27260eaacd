"""Layers of `torch_geometric`, chosen by name and checked before they are used.

Importing `torch_geometric` takes more than a second, so it waits until a layer is built.

Legend: V nodes, D embedding, E edges.
"""

import difflib
import inspect
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from sparta_ray.base.errors import ConfigError

Argument = bool | int | float | str

_DECIDED = {
    "in_channels": "it is model.embedding",
    "out_channels": "it is model.embedding, divided among the heads",
    "heads": "it is model.fusion.heads",
    "concat": "heads are always put side by side",
    "add_self_loops": "every variable listens to itself anyway",
    "cached": "batches differ in size",
    "dropout": "what is dropped would depend on the number of workers",
}
"""Arguments that are not the user's to give, and why."""

_FAILURES = (
    TypeError,
    ValueError,
    AttributeError,
    AssertionError,
    ImportError,
    IndexError,
    RuntimeError,
)
"""What a layer may raise that is given something it does not expect."""


def build_layer(
    name: str, arguments: Mapping[str, Argument], embedding: int, heads: int
) -> nn.Module:
    """Return a graph layer from (V, D) and edges (2, E) to (V, D).

    Args:
        name: Of a class in ``torch_geometric.nn.conv``.
        arguments: Further keyword arguments of that class.
        embedding: D.
        heads: They share D evenly; 1 for a layer that has none.

    Raises:
        ConfigError: There is no such layer, it does not take what it would be given, or the heads
            do not divide the embedding.
    """
    layer = _layer_class(name)
    known = inspect.signature(layer).parameters
    _check_arguments(name, arguments, [key for key in known if key != "kwargs"])
    if heads > 1 and "heads" not in known:
        raise ConfigError(f"model.fusion.heads {heads}: {name} has no heads; leave it at 1")
    if embedding % heads:
        raise ConfigError(
            f"model.fusion.heads {heads} does not divide model.embedding {embedding}; choose heads "
            "that do"
        )
    given: dict[str, Argument] = dict(arguments)
    if "heads" in known:
        given["heads"] = heads
    if "add_self_loops" in known:
        given["add_self_loops"] = False
    size = embedding // heads if "concat" in known else embedding
    try:
        built = layer(embedding, size, **given)
    except _FAILURES as error:
        raise ConfigError(
            f"model.fusion.layer {name} cannot be built with model.fusion.arguments "
            f"{dict(arguments)} ({_first_line(error)}); change them, or choose another layer"
        ) from error
    _refuse_mixing(name, built)
    return built


@torch.enable_grad()
def check_layer(name: str, layer: nn.Module, edges_2E: Tensor, nodes_VD: Tensor) -> None:
    """Refuse a layer that does not turn nodes and edges into as many nodes of the same size.

    Raises:
        ConfigError: It fails, returns something else, or has weights that take no part.
    """
    try:
        made = layer(nodes_VD, edges_2E)
    except _FAILURES as error:
        raise ConfigError(
            f"model.fusion.layer {name} does not work on nodes and edges alone "
            f"({_first_line(error)}); choose one that does, such as GATConv, GATv2Conv, "
            "TransformerConv or GCNConv"
        ) from error
    if not isinstance(made, Tensor) or made.shape != nodes_VD.shape:
        shape = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
        raise ConfigError(
            f"model.fusion.layer {name} returns {shape} for nodes of {tuple(nodes_VD.shape)}; "
            "choose a layer or arguments that keep the size"
        )
    weights = dict(layer.named_parameters())
    gradients = torch.autograd.grad(made.sum(), list(weights.values()), allow_unused=True)
    idle = [key for key, gradient in zip(weights, gradients, strict=True) if gradient is None]
    if idle:
        raise ConfigError(
            f"model.fusion.layer {name}: its weights {', '.join(idle)} take no part in what it "
            "returns, and several workers would wait for their gradients; choose another layer or "
            "arguments"
        )


def _check_arguments(name: str, arguments: Iterable[str], known: Iterable[str]) -> None:
    """Refuse arguments that a layer does not take, or that are not the user's to give."""
    options = [key for key in [*known, "aggr"] if key not in _DECIDED]
    for key in arguments:
        if key in _DECIDED:
            raise ConfigError(f"model.fusion.arguments.{key}: leave it out; {_DECIDED[key]}")
        if key not in options:
            raise ConfigError(
                f"model.fusion.arguments.{key}: {name} takes no such argument{_near(key, options)}"
            )


def _layer_class(name: str) -> type[nn.Module]:
    """Return the class of a layer whose first arguments are its input and output sizes."""
    from torch_geometric.nn import conv

    layers: dict[str, type[nn.Module]] = {
        key: getattr(conv, key) for key in conv.__all__ if _takes_sizes(getattr(conv, key))
    }
    if name not in layers:
        raise ConfigError(
            f"model.fusion.layer {name!r} is no layer of torch_geometric.nn that takes in_channels "
            f"and out_channels{_near(name, layers)}"
        )
    return layers[name]


def _takes_sizes(layer: type[nn.Module]) -> bool:
    return list(inspect.signature(layer).parameters)[:2] == ["in_channels", "out_channels"]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _near(name: str, known: Iterable[str]) -> str:
    """Suggest what a misspelt name may have meant."""
    close = difflib.get_close_matches(name, known, n=3)
    return f"; did you mean {' or '.join(close)}?" if close else f"; known: {', '.join(known)}"


def _refuse_mixing(name: str, layer: nn.Module) -> None:
    """Refuse a layer in which a row would depend on the other rows of its batch."""
    for part in layer.modules():
        normalises = isinstance(part, nn.modules.batchnorm._BatchNorm) or (
            type(part).__module__.startswith("torch_geometric.nn.norm")
        )
        drops = isinstance(part, nn.Dropout) and part.p > 0
        if normalises or drops:
            raise ConfigError(
                f"model.fusion.layer {name} contains {type(part).__name__}, with which a row's "
                "embedding would depend on how the batch is shared among workers; choose a layer "
                "or arguments without it"
            )
