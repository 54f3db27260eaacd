import math

import pytest
import torch
from torch.testing import assert_close

from sparta_ray.base.config import from_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.variables import PUBLISHED
from sparta_ray.models.attention_fusion import AttentionFusion, AttentionFusionConfig
from sparta_ray.models.fusion import EarlyFusionConfig, LateFusionEncoder, build_encoder
from sparta_ray.models.graph_fusion import GraphFusionConfig
from sparta_ray.models.sparta import Autoencoder, ModelConfig, Sparta, parameter_count

TINY = ModelConfig(width=0.1, embedding=6)
LATE = [AttentionFusionConfig(heads=2), GraphFusionConfig(edges=(("a", "c"),))]


@pytest.mark.parametrize(
    ("fusion", "parameters"),
    [
        (EarlyFusionConfig(), 11_857_448),
        (AttentionFusionConfig(), 62_588_864),
        (GraphFusionConfig(), 59_580_864),
    ],
)
def test_published_sizes_with_the_projector(fusion, parameters):
    with torch.device("meta"):
        model = Sparta(PUBLISHED, (64, 32), ModelConfig(fusion=fusion))
    assert parameter_count(model.encoder) + parameter_count(model.projector) == parameters


def attention_by_loops(fusion, tokens, heads):
    """Scaled dot-product attention of the first token to all, head by head, with its maps."""
    x = torch.cat([fusion.summary, tokens]) + fusion.modality
    layer, size = fusion.attention, x.shape[1] // heads
    maps = zip(layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3), strict=True)
    query, key, value = (x @ weight.T + bias for weight, bias in maps)
    joined = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = [float(query[0, part] @ k[part]) / math.sqrt(size) for k in key]
        shares = [math.exp(score) / sum(map(math.exp, scores)) for score in scores]
        joined.append(sum(share * v[part] for share, v in zip(shares, value, strict=True)))
    return torch.cat(joined) @ layer.out_proj.weight.T + layer.out_proj.bias


@pytest.mark.parametrize(("variables", "heads"), [(1, 3), (4, 1), (5, 2)])
def test_self_attention_by_loops(variables, heads):
    torch.manual_seed(0)
    fusion = AttentionFusion(variables, 6, heads).double()
    torch.nn.init.normal_(fusion.attention.in_proj_bias)
    tokens = torch.randn(3, variables, 6, dtype=torch.float64)
    expected = [attention_by_loops(fusion, row, heads) for row in tokens]
    assert_close(fusion(tokens), torch.stack(expected))


def test_attention_equals_that_of_all_tokens_to_all():
    fusion = AttentionFusion(4, 6, 2).double()
    tokens = torch.randn(3, 4, 6, dtype=torch.float64)
    x = torch.cat([fusion.summary.expand(3, 1, 6), tokens], dim=1) + fusion.modality
    everything, _ = fusion.attention(x, x, x)
    assert_close(fusion(tokens), everything[:, 0])


def test_attention_heads_share_the_embedding_evenly():
    with pytest.raises(ConfigError, match=r"heads 8 does not divide model.embedding 12"):
        AttentionFusionConfig().build(["a"], 12)


@pytest.mark.parametrize("config", LATE, ids=lambda config: config.kind)
def test_every_variable_has_its_own_encoder(config):
    torch.manual_seed(0)
    encoder = build_encoder(config, ["a", "b", "c"], 6, TINY.encoder_of).double().eval()
    x = torch.randn(4, 3, 41, 33, dtype=torch.float64, requires_grad=True)
    each = [part(x[:, i : i + 1]) for i, part in enumerate(encoder.encoders)]
    h = encoder(x)
    assert h.shape == (4, 6)
    assert_close(h, encoder.fusion(torch.stack(each, dim=1)))
    h[1].square().sum().backward()
    seen = x.grad.abs().sum(dim=(2, 3)) > 0
    assert seen[1].all()
    assert not seen[[0, 2, 3]].any()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


@pytest.mark.parametrize("config", LATE, ids=lambda config: config.kind)
def test_a_late_model_has_the_early_ones_interface(config):
    sizes = ModelConfig(width=0.05, embedding=12, projection=5, fusion=config)
    model = Sparta(["a", "b", "c"], (64, 32), sizes)
    assert isinstance(model.encoder, LateFusionEncoder)
    h, z = model.project(torch.randn(4, 3, 41, 33))
    assert (h.shape, z.shape, model.decoder(h).shape) == ((4, 12), (4, 5), (4, 3, 64, 32))


def test_the_autoencoders_fusion_is_always_early():
    sizes = ModelConfig(width=0.05, embedding=12, fusion=AttentionFusionConfig(heads=2))
    assert parameter_count(Autoencoder(["a", "b"], (64, 32), sizes)) == parameter_count(
        Autoencoder(["a", "b"], (64, 32), ModelConfig(width=0.05, embedding=12))
    )


def test_a_fusion_is_chosen_by_its_tag():
    tree = {"fusion": {"kind": "graph", "edges": [["a", "b"]]}}
    assert from_tree(ModelConfig, tree, "run").fusion == GraphFusionConfig(edges=(("a", "b"),))
    assert ModelConfig().fusion == EarlyFusionConfig()
    with pytest.raises(ConfigError, match=r"early.*attention.*graph"):
        from_tree(ModelConfig, {"fusion": {"kind": "middle"}}, "run")
