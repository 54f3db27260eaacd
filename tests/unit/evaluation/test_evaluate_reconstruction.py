import numpy as np
import pytest
import torch

from sparta_ray.base.seeding import derive_seed
from sparta_ray.embedder import Embedder
from sparta_ray.evaluation.embeddings import evaluate_embeddings
from sparta_ray.evaluation.reconstruction import evaluate_reconstruction
from sparta_ray.evaluation.setup import STREAM

DAYS = np.arange(460, 500)
MIDDLE = 20
"""The test day that maps show."""


@pytest.fixture(scope="module")
def evaluated(setup):
    return evaluate_reconstruction(setup)


@pytest.fixture(scope="module")
def by_hand(setup):
    """Each model's embeddings of the masked test days, and their decoded fields."""
    seed = derive_seed(derive_seed(setup.run.seed, "evaluation"), "test", 0)
    x = setup.store.read_standardised(DAYS)
    found = {}
    for kind in setup.run.models:
        embedder = Embedder.from_pretrained(setup.run.path, kind)
        h = embedder.encode_masked(x, setup.run.downstream.mask, seed, DAYS)
        found[kind] = h, embedder.decode_physical(h)
    return found


def test_masks_are_the_same_for_every_model_and_reader(setup):
    day, mask = 477, setup.run.downstream.mask
    views, kept = {}, {}
    for kind in setup.run.models:
        views[kind], kept[kind] = setup.latents(kind).masked_view(day, mask, STREAM)
    assert torch.equal(kept["sparta"], kept["autoencoder"])
    assert torch.equal(views["sparta"], views["autoencoder"])
    assert float(kept["sparta"].float().mean()) == pytest.approx(0.3, abs=0.05)
    assert setup.latents("sparta").seed == setup.latents("autoencoder").seed


@pytest.mark.parametrize("kind", ["sparta", "autoencoder"])
def test_scores_compare_the_decoded_masked_days_with_their_own(
    evaluated, by_hand, offsets, value_of, kind
):
    decoded = by_hand[kind][1].astype(float)
    truth = DAYS[:, None] + np.array(list(offsets.values()))
    error = decoded - truth[:, :, None, None]
    found = value_of(evaluated.scores, "rrmse", kind)
    assert found == pytest.approx(100 * np.sqrt((error**2).mean()) / truth.mean(), rel=1e-5)
    variance = np.arange(365).var(ddof=0) * (365 * 2048) / (365 * 2048 - 1)
    standardised = ((error**2).mean((0, 2, 3)) / variance).sum()
    found = value_of(evaluated.scores, "standardised error", kind)
    assert found == pytest.approx(standardised, rel=1e-5)


def test_baselines_are_climatology_and_the_mean_field(evaluated, offsets, value_of):
    models = {score.model for score in evaluated.scores}
    assert models == {"sparta", "autoencoder", "climatology", "mean field"}
    assert {score.task for score in evaluated.scores} == {"reconstruction"}
    for label in offsets:
        bias = value_of(evaluated.scores, "bias", "climatology", label)
        assert bias == pytest.approx(-365, abs=5e-3)
        bias = value_of(evaluated.scores, "bias", "mean field", label)
        assert bias == pytest.approx(182 - DAYS.mean(), abs=5e-3)
    acc = {score.model for score in evaluated.scores if score.metric == "acc"}
    assert acc == {"sparta", "autoencoder", "mean field"}  # climatology has no anomalies


def test_maps_show_what_was_hidden_and_the_days_own_reconstruction(
    setup, evaluated, by_hand, offsets
):
    for kind in setup.run.models:
        panels = evaluated.arrays[f"map-reconstruction-{kind}"]
        assert panels.attrs == {"day": str(setup.store.days[DAYS[MIDDLE]])}
        assert panels.sizes == {"panel": 4, "variable": 3, "longitude": 36, "latitude": 20}
        latents = setup.latents(kind)
        _, kept = latents.masked_view(DAYS[MIDDLE], setup.run.downstream.mask, STREAM)
        seen = panels.sel(panel="masked input").values
        np.testing.assert_array_equal(np.isfinite(seen), kept.numpy())
        decoded = by_hand[kind][1][MIDDLE]
        for channel, offset in enumerate(offsets.values()):
            truth = panels.sel(panel="truth")[channel]
            np.testing.assert_allclose(truth, DAYS[MIDDLE] + offset, rtol=1e-5)
            np.testing.assert_allclose(
                seen[channel][kept[channel].numpy()], DAYS[MIDDLE] + offset, rtol=1e-5
            )
            shown = panels.sel(panel="reconstruction")[channel]
            assert float(shown.mean()) == pytest.approx(decoded[channel].mean(), abs=1)
            error = panels.sel(panel="error")[channel]
            np.testing.assert_allclose(error, shown - truth, atol=1e-2)


def test_embeddings_are_those_of_the_same_masks(setup, by_hand):
    for kind in setup.run.models:
        array = evaluate_embeddings(setup, kind).arrays[f"embeddings-{kind}"]
        np.testing.assert_allclose(
            array.values[60:], by_hand[kind][0].numpy(), rtol=1e-5, atol=1e-6
        )
        assert array.time.values[0] == setup.store.days[400].astype("datetime64[ns]")
        assert array.time.values[-1] == setup.store.days[499].astype("datetime64[ns]")
