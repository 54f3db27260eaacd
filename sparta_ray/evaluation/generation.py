"""Conditional latent diffusion: samples for masked test days, in embedding and physical space.

Legend: S samples, C conditions, D embedding.
"""

import numpy as np
import torch

from sparta_ray.downstream.diffusion import LatentDiffusion, sample
from sparta_ray.downstream.trial import Trial
from sparta_ray.evaluation.latent_space import latent_density, realism, spread
from sparta_ray.evaluation.reconstruction import STREAM
from sparta_ray.evaluation.results import Results
from sparta_ray.evaluation.setup import Setup
from sparta_ray.evaluation.truth import Subject, field_scores
from sparta_ray.seeding import derive_seed


def evaluate_diffusion(setup: Setup, trial: Trial) -> Results:
    """Draw samples for masked test days; decode their mean; compare embeddings with real ones.

    As published, the real set of density and realism is the whole test days encoded on their own
    grid, and the fields are those of the mean sample.
    """
    config = setup.run.downstream.diffusion
    model, latents = setup.model_of(trial), setup.latents(trial.model)
    assert isinstance(model, LatentDiffusion)
    assert config is not None
    test = setup.parts["test"]
    chosen = _evenly(len(test), setup.run.evaluation.diffusion_days)
    conditions = latents.masked(test, setup.run.downstream.mask, STREAM)[chosen]
    seed = derive_seed(setup.run.seed, "samples", trial.seed)
    drawn_SCD = sample(model, conditions.to(setup.device), config.samples, seed).cpu()

    subject = Subject("diffusion", trial.model, seed=trial.seed)
    fields = setup.truth.labelled(latents.embedder.decode_physical(drawn_SCD.mean(dim=0)))
    truth = setup.truth.fields(setup.test_days[chosen])
    scores = list(field_scores(subject, fields, truth, setup.truth.limits))

    real = latents.embedder.encode_unresized(setup.store.read_standardised(setup.test_days))
    generated = drawn_SCD.flatten(0, 1).numpy()
    evaluation = setup.run.evaluation
    density = latent_density(generated, real.numpy(), evaluation.density_sigma)
    spreads = spread(drawn_SCD.transpose(0, 1).numpy())
    scores += [
        subject.score("latent density", density),
        subject.score("realism", realism(generated, real.numpy(), evaluation.realism_neighbours)),
        subject.score("std", spreads.pooled),
        subject.score("std per condition", spreads.per_condition),
    ]
    return Results(scores)


def _evenly(count: int, most: int | None) -> torch.Tensor:
    """Return at most `most` of `count` indices, evenly spread."""
    wanted = count if most is None else min(most, count)
    return torch.from_numpy(np.linspace(0, count - 1, wanted).round().astype(np.int64))
