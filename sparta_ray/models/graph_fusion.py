"""Late fusion by graph attention: variables listen to those they are joined with by an edge.

Legend: B rows, V variables (the graph's nodes), D embedding.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional

from sparta_ray.base.config import STRICT
from sparta_ray.base.errors import ConfigError

Edge = tuple[str, str]

PUBLISHED_EDGES: tuple[Edge, ...] = (
    ("2m_temperature", "geopotential@850"),
    ("u_component_of_wind@850", "v_component_of_wind@850"),
)
"""Humidity stands alone."""

_NEGATIVE_SLOPE = 0.2


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GraphFusionConfig:
    """Every variable has its own encoder; graph attention joins their embeddings.

    Attributes:
        edges: Pairs of variables that attend to each other; every variable also attends to itself.
    """

    kind: Literal["graph"] = "graph"
    edges: tuple[Edge, ...] = PUBLISHED_EDGES

    def build(self, variables: Sequence[str], embedding: int) -> nn.Module:
        """Return the layer that joins the variables' embeddings, (B, V, D) to (B, D)."""
        return GraphFusion(adjacency(self.edges, variables), embedding)


def adjacency(edges: Sequence[Edge], variables: Sequence[str]) -> Tensor:
    """Return which variable listens to which, bool (V, V): symmetric, the diagonal true.

    Raises:
        ConfigError: An edge names no variable of the data, or the same one twice.
    """
    listens_VV = torch.eye(len(variables), dtype=torch.bool)
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
        listens_VV[i, j] = listens_VV[j, i] = True
    return listens_VV


class GraphFusion(nn.Module):
    """One graph attention layer of one head (Veličković et al. 2018); h is the nodes' mean.

    Node i becomes Σⱼ αᵢⱼ W hⱼ + bias over the nodes j it listens to, with αᵢⱼ the softmax over
    those j of LeakyReLU(target · W hᵢ + source · W hⱼ).
    """

    listens: Tensor

    def __init__(self, listens_VV: Tensor, embedding: int):
        """Size the layer for a graph as of `adjacency`."""
        super().__init__()
        self.values = nn.Linear(embedding, embedding, bias=False)
        self.source = nn.Parameter(torch.empty(1, embedding))
        self.target = nn.Parameter(torch.empty(1, embedding))
        self.bias = nn.Parameter(torch.zeros(embedding))
        self.register_buffer("listens", listens_VV, persistent=False)
        for weight in (self.values.weight, self.source, self.target):
            nn.init.xavier_uniform_(weight)

    def forward(self, h_BVD: Tensor) -> Tensor:
        """Return the fused embedding h, shape (B, D)."""
        x_BVD = self.values(h_BVD)
        score_BVV = x_BVD @ self.target.T + (x_BVD @ self.source.T).transpose(1, 2)
        score_BVV = functional.leaky_relu(score_BVV, _NEGATIVE_SLOPE)
        share_BVV = score_BVV.masked_fill(~self.listens, -torch.inf).softmax(dim=2)
        nodes_BVD: Tensor = share_BVV @ x_BVD + self.bias
        return nodes_BVD.mean(dim=1)
