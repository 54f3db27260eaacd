"""Late fusion by a graph: variables listen to those they are joined with by an edge.

Legend: B rows, V variables (the graph's nodes), D embedding, E edges of one row's graph.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional

from sparta_ray.base.config import STRICT
from sparta_ray.base.errors import ConfigError
from sparta_ray.models.graph_layers import Argument, build_layer, check_layer

Edge = tuple[str, str]

PUBLISHED_EDGES: tuple[Edge, ...] = (
    ("2m_temperature", "geopotential@850"),
    ("u_component_of_wind@850", "v_component_of_wind@850"),
)
"""Humidity stands alone."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GraphFusionConfig:
    """Every variable has its own encoder; layers of `torch_geometric` join their embeddings.

    Attributes:
        edges: Pairs of variables that listen to each other; each also listens to itself.
        layers: Graph layers, one after the other, with ELU between them.
        heads: Attention heads of each layer; they share the embedding evenly.
        layer: Class of the layers, one of ``torch_geometric.nn`` that takes ``in_channels`` and
            ``out_channels``.
        arguments: Further keyword arguments of that class.
    """

    kind: Literal["graph"] = "graph"
    edges: tuple[Edge, ...] = PUBLISHED_EDGES
    layers: int = Field(default=1, ge=1)
    heads: int = Field(default=1, ge=1)
    layer: str = "GATConv"
    # A dict has no hash, which a config needs; equal configs still have equal hashes.
    arguments: Mapping[str, Argument] = dataclasses.field(default_factory=dict, hash=False)

    def build(self, variables: Sequence[str], embedding: int) -> nn.Module:
        """Return the layer that joins the variables' embeddings, (B, V, D) to (B, D)."""
        layers = [
            build_layer(self.layer, self.arguments, embedding, self.heads)
            for _ in range(self.layers)
        ]
        edges_2E = edge_index(self.edges, variables)
        check_layer(self.layer, layers[0], edges_2E, torch.zeros(len(variables), embedding))
        return GraphFusion(layers, edges_2E, len(variables))


def edge_index(edges: Sequence[Edge], variables: Sequence[str]) -> Tensor:
    """Return the directed edges as (source, target), shape (2, E): both ways, and each to itself.

    Raises:
        ConfigError: An edge names no variable of the data, or the same one twice.
    """
    heard_by: list[set[int]] = [{node} for node in range(len(variables))]
    for edge in edges:
        for name in edge:
            if name not in variables:
                raise ConfigError(
                    f"model.fusion.edges: {name!r} of {list(edge)} is not among data.variables "
                    f"{list(variables)}; name edges between those"
                )
        if edge[0] == edge[1]:
            raise ConfigError(
                f"model.fusion.edges: {list(edge)} joins a variable with itself; every variable "
                "listens to itself anyway, so leave it out"
            )
        i, j = map(variables.index, edge)
        heard_by[i].add(j)
        heard_by[j].add(i)
    directed = [(j, i) for i, sources in enumerate(heard_by) for j in sorted(sources)]
    return torch.tensor(directed).T.contiguous()


class GraphFusion(nn.Module):
    """Graph layers over the variables; h is the mean of the nodes.

    As published it is one graph attention layer of one head (Veličković et al. 2018): node i
    becomes Σⱼ αᵢⱼ W hⱼ + bias over the nodes j it listens to, with αᵢⱼ the softmax over those j of
    LeakyReLU(target · W hᵢ + source · W hⱼ).

    The graphs of all rows of a batch form one large graph without edges between rows.

    Attributes:
        edges: Of one row's graph, (2, E).
    """

    edges: Tensor

    def __init__(self, layers: Sequence[nn.Module], edges_2E: Tensor, variables: int):
        """Take layers from nodes (N, D) and edges (2, E) to nodes, and edges as of `edge_index`."""
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.variables = variables
        self.register_buffer("edges", edges_2E, persistent=False)
        self._edges_of_batch = edges_2E

    def forward(self, h_BVD: Tensor) -> Tensor:
        """Return the fused embedding h, shape (B, D)."""
        edges = self._batched_edges(len(h_BVD))
        x_ND = self.layers[0](h_BVD.flatten(0, 1), edges)
        for layer in self.layers[1:]:
            x_ND = layer(functional.elu(x_ND), edges)
        nodes_BVD: Tensor = x_ND.view(h_BVD.shape)
        return nodes_BVD.mean(dim=1)

    def _batched_edges(self, rows: int) -> Tensor:
        """Return the edges of so many rows, (2, rows · E); row b's nodes are b·V to b·V + V - 1.

        They are made once, for the largest batch; those of a smaller one come first among them.
        """
        wanted = rows * self.edges.shape[1]
        if self._edges_of_batch.shape[1] < wanted or (
            self._edges_of_batch.device != self.edges.device
        ):
            with torch.inference_mode(False):  # training may use them later
                first_node_R1 = torch.arange(rows, device=self.edges.device)[:, None]
                shifted_2RE = self.edges[:, None] + self.variables * first_node_R1
                self._edges_of_batch = shifted_2RE.flatten(1)
        return self._edges_of_batch[:, :wanted]

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        """Read weights under the names they had before the layer was `GATConv`, too."""
        for old, new in _FORMER_NAMES.items():
            if prefix + old in state_dict:
                weight = state_dict.pop(prefix + old)
                is_attention = new.startswith("layers.0.att_")
                state_dict[prefix + new] = weight[None] if is_attention else weight
        super()._load_from_state_dict(state_dict, prefix, *arguments)


_FORMER_NAMES = {
    "values.weight": "layers.0.lin.weight",
    "source": "layers.0.att_src",
    "target": "layers.0.att_dst",
    "bias": "layers.0.bias",
}
