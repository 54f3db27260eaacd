"""Masks as further channels: what every part of the way from fields to embeddings makes of them."""

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.testing import assert_allclose
from torch.testing import assert_close

from sparta_ray.base.config import load
from sparta_ray.data.batches.compact import Needs, build_batch
from sparta_ray.data.batches.expand import expand, to_device
from sparta_ray.data.batches.view_operator import ViewOperator
from sparta_ray.data.plan.masking import MaskConfig
from sparta_ray.data.plan.sampling import SamplingConfig, make_plan
from sparta_ray.data.plan.splits import Split
from sparta_ray.data.plan.views import ViewConfig
from sparta_ray.data.store.store import Store
from sparta_ray.embedder import Embedder
from sparta_ray.models.attention_fusion import AttentionFusionConfig
from sparta_ray.models.fusion import build_encoder
from sparta_ray.models.graph_fusion import GraphFusionConfig
from sparta_ray.models.sparta import Autoencoder, ModelConfig, Sparta
from sparta_ray.run.estimate import step_flop
from sparta_ray.run.settings import Run
from sparta_ray.training.model_card import ModelCard

GRID, VIEWS, V = (64, 32), ViewConfig(resize=(50, 36), crop=(46, 34), filter=3), 3
MODEL = ModelConfig(width=0.1, embedding=12, projection=6, mask_channels=True)
MASKS = [MaskConfig(), MaskConfig(on="grid")]


@pytest.fixture(scope="module")
def store(make_store):
    missing = np.zeros((40, V, *GRID), dtype=bool)
    missing[:, 1, 10:30, 4:20] = True
    return Store(make_store(days=40, grid=GRID, missing=missing))


def test_channels_by_hand():
    view, seen = torch.tensor([[5.0, 0.0], [0.0, 7.0]]), torch.tensor([[1, 0], [1, 1]]).bool()
    operator = ViewOperator((2, 2), ViewConfig(resize=(2, 2), crop=(2, 2), filter=1), True)
    x = operator.encoder_input(view.view(1, 1, 2, 2), seen.view(1, 1, 2, 2))
    assert x.tolist() == [[[[5, 0], [0, 7]], [[1, 0], [1, 1]]]]  # a 0 that is seen, one that is not
    whole = operator.encoder_input(view.view(1, 1, 2, 2), None)
    assert whole[0, 1].tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize("mask", MASKS, ids=lambda mask: mask.on)
def test_every_view_tells_what_is_seen(store, mask):
    sampling = SamplingConfig(hard_days=(3, 9), min_soft_days=6)
    plan = make_plan(Split(0, 40), sampling, VIEWS, mask, 0, "train", 0)
    needs = Needs(contrastive=True, input=True)
    batch = to_device(
        build_batch(store, plan, slice(0, 6), VIEWS, mask, needs), torch.device("cpu")
    )
    plain = expand(batch, ViewOperator(GRID, VIEWS))
    views = expand(batch, ViewOperator(GRID, VIEWS, mask_channels=True))
    for name in ("anchor", "after", "before", "input"):
        view, published = getattr(views, name), getattr(plain, name)
        assert view.shape == (6, 2 * V, *VIEWS.crop)
        assert torch.equal(view[:, :V], published)
        # noise is nowhere 0 but where it was made so
        assert torch.equal(view[:, V:], (published != 0).float())
    share = views.anchor[:, V:].mean(dim=(0, 2, 3)).tolist()
    assert share[0] == share[2] == 1  # no mask; the second variable has its gap
    assert 0.5 < share[1] < 0.9
    assert 0.05 < float(views.after[:, V:].mean()) < 0.6


@pytest.mark.parametrize(
    "fusion",
    [AttentionFusionConfig(heads=2), GraphFusionConfig(edges=(("a", "c"),))],
    ids=lambda fusion: fusion.kind,
)
def test_late_fusion_gives_every_encoder_its_variables_two_channels(fusion):
    encoder = build_encoder(fusion, "abc", 12, MODEL.encoder_of).double().eval()
    x = torch.randn(2, 2 * V, *VIEWS.crop, dtype=torch.float64)
    each = [part(x[:, [i, V + i]]) for i, part in enumerate(encoder.encoders)]
    assert_close(encoder(x), encoder.fusion(torch.stack(each, dim=1)))


@pytest.mark.parametrize("kind", ["sparta", "autoencoder"])
@pytest.mark.parametrize("mask", MASKS, ids=lambda mask: mask.on)
def test_masked_days_are_embedded_with_their_masks(store, kind, mask):
    torch.manual_seed(0)
    card = ModelCard.describe(kind, MODEL, VIEWS, store)
    embedder = Embedder(card, card.build())
    days = np.arange(3)
    x = store.read_standardised(days)
    view, seen = embedder.masked_views(x, mask, 5, days)
    assert view.shape == seen.shape == (3, V, *VIEWS.crop)
    with torch.inference_mode():
        expected = embedder._model.encoder(torch.cat([view, seen.float()], dim=1))
    assert_close(embedder.encode_masked(x, mask, 5, days), expected)


def test_missing_is_no_longer_average(store):
    """A gap embeds otherwise than the mean, which stands in its place all the same."""
    torch.manual_seed(0)
    card = ModelCard.describe("sparta", MODEL, VIEWS, store)
    days = np.arange(2)
    fields = xr.DataArray(
        store.read(days),
        dims=("time", "variable", "longitude", "latitude"),
        coords={
            "time": store.days[days].astype("datetime64[ns]"),
            "variable": list(store.variables),
            "longitude": store.longitude,
            "latitude": store.latitude,
        },
    ).fillna(280.0)
    gone, average = fields.copy(), fields.copy()
    gone[:, 0], average[:, 0] = np.nan, store.statistics.mean[0]
    embedder = Embedder(card, card.build())
    as_gap, as_mean = embedder.encode(gone), embedder.encode(average)
    assert np.abs(as_gap - as_mean).max() > 0.1
    gone_x, average_x = embedder._standardise(gone.values), embedder._standardise(average.values)
    unresized = (embedder.encode_native_grid(x) for x in (gone_x, average_x))
    assert (next(unresized) - next(unresized)).abs().max() > 0.1
    published = ModelCard.describe("sparta", ModelConfig(width=0.1, embedding=12), VIEWS, store)
    blind = Embedder(published, published.build())
    assert_allclose(blind.encode(gone), blind.encode(average), atol=5e-3)


def test_only_the_first_layer_grows():
    for model in (Sparta, Autoencoder):
        sizes = [
            dict(model("abc", GRID, config).named_parameters())
            for config in (ModelConfig(width=0.1, embedding=12), MODEL)
        ]
        changed = {n for n, p in sizes[0].items() if p.shape != sizes[1][n].shape}
        assert changed - {n for n in changed if n.startswith("projector.")} == {
            "encoder.stem.0.weight"
        }
        assert sizes[1]["encoder.stem.0.weight"].shape[1] == 2 * V


def test_the_estimate_counts_it():
    def flop(channels):
        small = "model.width=0.05", "views={resize: [40, 36], crop: [36, 34]}"
        run = load(Run, None, [*small, f"model.mask_channels={channels}"])
        return step_flop(run, run.training.stages[3], GRID)

    # five more channels of a 7x7 stem with round(64 · 0.05) = 3 outputs on an 18x17 map;
    # forward and the weights' gradient, none of the input
    more = 2 * 2 * 126 * 5 * 49 * 3 * 18 * 17
    assert flop("true") - flop("false") == more
