import numpy as np
import pytest
import torch

from sparta_ray.base.folder import RunFolder
from sparta_ray.base.seeding import derive_seed
from sparta_ray.downstream.generation.diffusion import sample
from sparta_ray.evaluation.generation import evenly
from sparta_ray.metrics.latent_space import densities, realisms
from sparta_ray.tasks.generation import Generation
from sparta_ray.tasks.trials import load_trial


def test_days_are_spreadevenly():
    assert evenly(40, 7).tolist() == [0, 6, 13, 20, 26, 32, 39]
    assert evenly(4, None).tolist() == evenly(4, 9).tolist() == [0, 1, 2, 3]


def test_the_mean_sample_is_compared_with_the_day_it_was_conditioned_on(
    setup, save_random, offsets, value_of
):
    trial = save_random("sparta", "diffusion")
    scores = Generation().evaluate(setup, trial).scores

    latents, run = setup.latents("sparta"), setup.run
    days = np.array([460, 466, 473, 480, 486, 492, 499])
    seed = derive_seed(derive_seed(run.seed, "evaluation"), "test", 0)
    x = setup.store.read_standardised(days)
    conditions = latents.embedder.encode_masked(x, run.downstream.mask, seed, days)
    model = load_trial(RunFolder(run.path), run, trial)
    drawn = sample(model, conditions, 3, derive_seed(run.seed, "samples", 7))
    assert drawn.shape == (3, 7, 16)
    decoded = latents.embedder.decode_physical(drawn.mean(dim=0)).astype(float)
    truth = days[:, None] + np.array(list(offsets.values()))
    error = decoded - truth[:, :, None, None]
    expected = 100 * np.sqrt((error**2).mean()) / truth.mean()
    assert value_of(scores, "rrmse") == pytest.approx(expected, rel=1e-4)

    every = setup.store.read_standardised(setup.test_days)
    real = latents.embedder.encode_native_grid(every).numpy()
    other = latents.whole(setup.parts["train"]).numpy()
    sigma, k = run.evaluation.density_sigma, run.evaluation.realism_neighbours
    for name, among in (("", real), (", training days", other)):
        for kind, generated in (("", drawn.mean(dim=0)), (", single samples", drawn.flatten(0, 1))):
            density = densities(generated.numpy(), among, sigma).mean()
            found = value_of(scores, f"latent density{kind}{name}")
            assert found == pytest.approx(density, rel=1e-4)
            realism = realisms(generated.numpy(), among, k).mean()
            assert value_of(scores, f"realism{kind}{name}") == pytest.approx(realism, rel=1e-4)
    assert value_of(scores, "std") > value_of(scores, "std per condition") > 0
    assert value_of(scores, "std") == pytest.approx(float(drawn.std(correction=0)), rel=1e-4)
    assert {(s.task, s.model, s.seed) for s in scores} == {("diffusion", "sparta", 7)}


def test_samples_are_the_same_each_time(setup, save_random):
    trial = save_random("sparta", "diffusion")
    first = Generation().evaluate(setup, trial).scores
    torch.manual_seed(99)
    assert Generation().evaluate(setup, trial).scores == first
