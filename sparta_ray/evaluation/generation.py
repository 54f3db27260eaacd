"""Conditional latent diffusion: samples for masked test days, in embedding and physical space.

Legend: S samples, C conditions, D embedding, V variables, X × Y grid.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
from torch import Tensor

from sparta_ray.base.grids import area_weights
from sparta_ray.base.seeding import derive_seed
from sparta_ray.data.store.day_blocks import day_blocks
from sparta_ray.downstream.generation.diffusion import LatentDiffusion, sample
from sparta_ray.embedder import Embedder
from sparta_ray.evaluation.results import Results
from sparta_ray.evaluation.setup import Setup
from sparta_ray.evaluation.truth import Days
from sparta_ray.metrics.case_sums import Cases, CaseSums
from sparta_ray.metrics.latent_space import densities, realisms
from sparta_ray.metrics.records import Subject, bound_of
from sparta_ray.metrics.scoring import EnsembleSums, FieldSums
from sparta_ray.run.trial import Trial
from sparta_ray.training.stages import ModelKind

DAYS_AT_ONCE = 16


def evaluate_diffusion(setup: Setup, trial: Trial, model: LatentDiffusion) -> Results:
    """Draw samples for masked test days; decode them and their mean; look at their embeddings.

    As published, fields are those of the mean sample; CRPS and spread look at every sample.
    """
    config = setup.run.downstream.diffusion
    embedder = setup.latents(trial.model).embedder
    assert config is not None
    chosen = diffusion_days(setup)
    conditions = setup.masked(trial.model)[chosen]
    seed = derive_seed(setup.run.seed, "samples", trial.seed)
    drawn_SCD = sample(model, conditions.to(setup.device), config.samples, seed).cpu()

    days = setup.test_days[chosen]
    windows = Cases(Subject("diffusion", trial.model, seed=trial.seed), setup.since_1970(days))
    results = Results().add(_field_sums(setup, embedder, drawn_SCD.mean(dim=0), days).sums(windows))
    results.add(_ensemble(setup, embedder, drawn_SCD, days).sums(windows))
    return results.add(_embedding_scores(setup, trial.model, drawn_SCD, windows))


def evaluate_diffusion_bound(setup: Setup, kind: ModelKind) -> Results:
    """Score what the decoder makes of the whole days' embeddings, the targets of diffusion."""
    days = setup.test_days[diffusion_days(setup)]
    embedder = setup.latents(kind).embedder
    h_CD = setup.latents(kind).of_days(days)
    windows = Cases(Subject("diffusion", bound_of(kind)), setup.since_1970(days))
    return Results().add(_field_sums(setup, embedder, h_CD, days).sums(windows))


def diffusion_days(setup: Setup) -> Days:
    """Return the test days that samples are drawn for, counted within the test part."""
    return evenly(len(setup.parts["test"]), setup.run.evaluation.diffusion_days)


def evenly(count: int, most: int | None) -> Days:
    """Return at most `most` of `count` indices, evenly spread."""
    wanted = count if most is None else min(most, count)
    return np.linspace(0, count - 1, wanted).round().astype(np.int64)


def _field_sums(setup: Setup, embedder: Embedder, h_CD: Tensor, days: Days) -> FieldSums:
    """Decode an embedding for each day and sum its scores, a few days at a time."""
    sums, done = FieldSums(), 0
    for some in day_blocks(days):
        fields = setup.truth.labelled(embedder.decode_physical(h_CD[done : done + len(some)]))
        truth, climatology = setup.truth.fields(some), setup.truth.climatology(some)
        sums.update(fields, truth, setup.truth.limits, climatology)
        done += len(some)
    return sums


def _ensemble(setup: Setup, embedder: Embedder, drawn_SCD: Tensor, days: Days) -> EnsembleSums:
    """Decode every sample and sum its scores, a few days at a time."""
    store = setup.store
    sums = EnsembleSums(store.variables, area_weights(store.latitude))
    for start in range(0, len(days), DAYS_AT_ONCE):
        part = slice(start, start + DAYS_AT_ONCE)
        h_SCD = drawn_SCD[:, part]
        decoded = embedder.decode_physical(h_SCD.flatten(0, 1))
        sums.update(decoded.reshape(*h_SCD.shape[:2], *decoded.shape[1:]), store.read(days[part]))
    return sums


def _embedding_scores(
    setup: Setup, kind: ModelKind, drawn_SCD: Tensor, windows: Cases
) -> Iterator[CaseSums]:
    """Yield density, realism and spread of generated embeddings.

    The published real set is the whole test days, the targets among them, encoded on their own
    grid; the other one is the tasks' training days, encoded as the models see them. As published,
    density and realism are those of each condition's mean sample; those of single samples, which
    are farther from the real by their own noise, have names of their own.
    """
    evaluation = setup.run.evaluation
    test = setup.latents(kind).on_native_grid(setup.test_days)
    train = setup.latents(kind).whole(setup.parts["train"])
    conditions = drawn_SCD.shape[1]
    sides = (("", drawn_SCD.mean(dim=0, keepdim=True)), (", single samples", drawn_SCD))
    reals = (("", test.numpy()), (", training days", train.numpy()))
    for (of, side_SCD), (among, real) in product(sides, reals):
        generated = side_SCD.flatten(0, 1).numpy()
        for metric, values in (
            ("latent density", densities(generated, real, evaluation.density_sigma)),
            ("realism", realisms(generated, real, evaluation.realism_neighbours)),
        ):
            by_condition = values.reshape(-1, conditions).mean(axis=0)
            yield windows.mean(metric + of + among, by_condition)
    drawn = drawn_SCD.double().numpy()
    numbers = np.full(conditions, drawn.shape[0] * drawn.shape[2])
    pooled = ((drawn**2).sum(axis=(0, 2)), drawn.sum(axis=(0, 2)), numbers)
    yield windows.sums("std", "standard deviation", *pooled)
    within = drawn.var(axis=0, ddof=1).mean(axis=1)
    yield windows.sums("std per condition", "root mean", within, np.ones(conditions))
