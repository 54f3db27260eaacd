"""Graph fusion against its equation, written out; and other layers of torch_geometric."""

import subprocess
import sys

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from sparta_ray.base.config import from_tree, to_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.variables import PUBLISHED
from sparta_ray.models.fusion import build_encoder
from sparta_ray.models.graph_fusion import GraphFusionConfig, edge_index
from sparta_ray.models.sparta import ModelConfig

EDGES = (("d", "a"), ("a", "b"))
LISTENS = [[0, 1, 3], [0, 1], [2], [0, 3]]
FORMER_SHAPES = {"values.weight": (6, 6), "source": (1, 6), "target": (1, 6), "bias": (6,)}
"""Weights of the layer as they were called before it was torch_geometric's."""


def former_weights():
    generator = torch.Generator().manual_seed(3)
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64)
        for name, shape in FORMER_SHAPES.items()
    }


def nodes_of(rows):
    generator = torch.Generator().manual_seed(rows)
    h = 3 * torch.randn(rows, 4, 6, generator=generator, dtype=torch.float64)
    return h.requires_grad_()


def by_equation(weights, h_BVD, listens=LISTENS):
    """One graph attention layer of one head, node by node, then the mean over the nodes."""
    fused = []
    for nodes in h_BVD:
        x = [weights["values.weight"] @ node for node in nodes]
        made = []
        for i, heard in enumerate(listens):
            scores = [weights["target"][0] @ x[i] + weights["source"][0] @ x[j] for j in heard]
            shares = functional.leaky_relu(torch.stack(scores), 0.2).softmax(0)
            mixed = sum(share * x[j] for share, j in zip(shares, heard, strict=True))
            made.append(mixed + weights["bias"])
        fused.append(torch.stack(made).mean(0))
    return torch.stack(fused)


def graph(**settings):
    torch.manual_seed(0)
    return GraphFusionConfig(edges=EDGES, **settings).build("abcd", 6).double()


@pytest.mark.parametrize("batches", [(5,), (2, 7, 1, 7)], ids=str)
def test_it_is_the_published_equation_to_rounding(batches):
    """Weights under their former names are read, and give what they gave, for any batch sizes."""
    fusion = graph()
    fusion.load_state_dict(former_weights())
    for rows in batches:
        weights = {name: w.requires_grad_() for name, w in former_weights().items()}
        h, same_h = nodes_of(rows), nodes_of(rows)
        fusion.zero_grad()
        ours, expected = fusion(h), by_equation(weights, same_h)
        assert_close(ours, expected, rtol=1e-12, atol=1e-12)
        ours.sin().sum().backward()
        expected.sin().sum().backward()
        assert_close(h.grad, same_h.grad, rtol=1e-12, atol=1e-12)
        (layer,) = fusion.layers
        gradients = {
            "values.weight": layer.lin.weight.grad,
            "source": layer.att_src.grad[0],
            "target": layer.att_dst.grad[0],
            "bias": layer.bias.grad,
        }
        for name, gradient in gradients.items():
            size = max(1.0, float(weights[name].grad.abs().max()))
            assert_close(gradient, weights[name].grad, rtol=1e-12, atol=1e-12 * size)


def test_a_fresh_layer_draws_the_numbers_it_always_drew():
    torch.manual_seed(4)
    fusion = GraphFusionConfig(edges=()).build("ab", 6)
    torch.manual_seed(4)
    values = torch.nn.Linear(6, 6, bias=False)
    source, target = torch.empty(1, 6), torch.empty(1, 6)
    for weight in (values.weight, source, target):
        torch.nn.init.xavier_uniform_(weight)
    (layer,) = fusion.layers
    assert layer.lin.weight.equal(values.weight)
    assert layer.att_src[0].equal(source)
    assert layer.att_dst[0].equal(target)
    assert not layer.bias.any()


def test_its_weights_are_saved_under_their_own_names_and_read_again():
    fusion, other = graph(layers=2, heads=3), graph(layers=2, heads=3)
    with torch.no_grad():
        for weight in fusion.parameters():
            weight.normal_()
    names = ("lin.weight", "att_src", "att_dst", "bias")
    assert set(fusion.state_dict()) == {f"layers.{i}.{name}" for i in (0, 1) for name in names}
    other.load_state_dict(fusion.state_dict())
    assert other(nodes_of(3)).equal(fusion(nodes_of(3)))
    with pytest.raises(RuntimeError, match=r"size mismatch for layers\.0\.att_src"):
        graph(heads=2).load_state_dict(former_weights())


def test_two_heads_attend_each_in_its_half():
    fusion = graph(heads=2)
    (layer,) = fusion.layers
    h, expected = nodes_of(3), []
    for head in range(2):
        half = slice(3 * head, 3 * head + 3)
        weights = {
            "values.weight": layer.lin.weight[half],
            "source": layer.att_src[:, head],
            "target": layer.att_dst[:, head],
            "bias": layer.bias[half],
        }
        expected.append(by_equation(weights, h))
    assert_close(fusion(h), torch.cat(expected, dim=1), rtol=1e-12, atol=1e-12)


def test_a_second_layer_hears_neighbours_of_neighbours():
    for layers, heard in [(1, 0), (2, 1)]:
        fusion, h = graph(layers=layers), nodes_of(1)
        edges = fusion._batched_edges(1)
        x = fusion.layers[0](h[0], edges)
        if layers == 2:
            x = fusion.layers[1](functional.elu(x), edges)
        assert_close(fusion(h)[0], x.mean(0))
        x[3].sum().backward()
        assert int(h.grad[0, 1].abs().sum() > 0) == heard  # d hears a, and a hears b


def test_embedding_first_does_not_hinder_training():
    fusion = graph()
    with torch.inference_mode():
        fusion(nodes_of(4).detach())
    fusion(nodes_of(4)).sum().backward()


def test_the_published_graph():
    edges = edge_index(GraphFusionConfig().edges, PUBLISHED)
    t, u, v, z, q = range(5)
    assert {(int(i), int(j)) for i, j in edges.T} == {
        *((i, i) for i in range(5)), (t, z), (z, t), (u, v), (v, u)
    }  # fmt: skip
    assert edges[:, edges[1] == q].tolist() == [[q], [q]]


def test_a_graph_is_of_the_datas_own_variables():
    assert edge_index([], ["a", "b"]).tolist() == [[0, 1], [0, 1]]
    assert edge_index([("a", "b"), ("b", "a")], ["a", "b"]).tolist() == [[0, 1, 0, 1], [0, 0, 1, 1]]
    with pytest.raises(ConfigError, match=r"'x' of \['a', 'x'\] is not among data.variables"):
        edge_index([("a", "x")], ["a", "b"])
    with pytest.raises(ConfigError, match=r"joins a variable with itself.*leave it out"):
        edge_index([("b", "b")], ["a", "b"])


@pytest.mark.parametrize(
    "settings",
    [
        {"layer": "GATv2Conv", "heads": 2, "arguments": {"share_weights": True}},
        {"layer": "TransformerConv", "layers": 2, "heads": 3},
        {"layer": "GCNConv"},
        {"layer": "SAGEConv", "arguments": {"aggr": "max", "root_weight": False}},
    ],
    ids=lambda settings: settings["layer"],
)
def test_other_layers_by_name(settings):
    config = from_tree(GraphFusionConfig, {"edges": [["a", "c"]], **settings}, "run")
    assert from_tree(GraphFusionConfig, to_tree(config), "card") == config
    assert len({config, from_tree(GraphFusionConfig, to_tree(config), "card")}) == 1
    torch.manual_seed(0)
    encoder = build_encoder(
        config, ["a", "b", "c"], 6, ModelConfig(embedding=6, width=0.1).encoder_of
    )
    fusion = encoder.fusion.double()
    assert {type(layer).__name__ for layer in fusion.layers} == {settings["layer"]}
    h = torch.randn(4, 3, 6, dtype=torch.float64)
    fused = fusion(h)
    for row in range(4):
        assert_close(fusion(h[row : row + 1])[0], fused[row])
    fused.sin().sum().backward()
    assert all(weight.grad is not None for weight in fusion.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": "GATCnov"}, r"'GATCnov' is no layer of .*did you mean GATConv"),
        ({"layer": "os.system"}, r"'os.system' is no layer of torch_geometric.nn"),
        ({"layer": "GINConv"}, r"that takes in_channels and out_channels; did you mean"),
        ({"heads": 5}, r"model.fusion.heads 5 does not divide model.embedding 6"),
        ({"layer": "GCNConv", "heads": 2}, r"heads 2: GCNConv has no heads; leave it at 1"),
        ({"arguments": {"negativ_slope": 0.1}}, r"GATConv takes no such .*mean negative_slope"),
        ({"arguments": {"dropout": 0.1}}, r"arguments.dropout: leave it out; what is dropped"),
        ({"arguments": {"concat": False}}, r"arguments.concat: leave it out"),
        ({"arguments": {"edge_dim": 3}}, r"att_edge, lin_edge.weight take no part"),
        ({"layer": "GENConv"}, r"GENConv contains BatchNorm1d, with which a row's embedding"),
        ({"layer": "ChebConv"}, r"cannot be built with model.fusion.arguments \{\} \(.*'K'"),
        ({"layer": "RGCNConv", "arguments": {"num_relations": 1}}, r"nodes and edges alone \("),
    ],
)  # fmt: skip
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_layer_that_cannot_work_is_one_error(settings, message, device):
    config = from_tree(GraphFusionConfig, {"edges": [], **settings}, "run")
    with torch.device(device), pytest.raises(ConfigError, match=message):
        config.build("ab", 6)


def test_arguments_are_numbers_and_words():
    with pytest.raises(ConfigError, match=r"arguments.bias"):
        from_tree(GraphFusionConfig, {"arguments": {"bias": [1]}}, "run")


def test_torch_geometric_waits_until_it_is_needed():
    program = """
import sys
from sparta_ray.run.settings import Run
from sparta_ray.models.graph_fusion import GraphFusionConfig
assert "torch_geometric" not in sys.modules
GraphFusionConfig(edges=()).build("ab", 6)
assert "torch_geometric" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=100)
