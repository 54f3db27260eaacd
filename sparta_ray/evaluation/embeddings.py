"""Evaluation of the embedding space: smoothness, rank, seasons in it, and augmented pairs.

Legend: T days, D embedding.
"""

from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from sparta_ray.base.seeding import derive_seed
from sparta_ray.data.plan.seasons import season_of
from sparta_ray.data.plan.splits import Split, SplitName
from sparta_ray.evaluation.results import Results
from sparta_ray.evaluation.setup import STREAM, Setup
from sparta_ray.metrics.case_sums import Cases, CaseSums
from sparta_ray.metrics.classification import BLOCK_CLUSTERS, SEASON_CLUSTERS
from sparta_ray.metrics.embeddings import MaskAgreement, NegativeCosine, PositiveCosine
from sparta_ray.metrics.latent_space import (
    cycle_distances,
    effective_rank,
    temporal_distances,
    total_variance,
)
from sparta_ray.metrics.probes import block_agreement, cluster_agreement, knn_probe, linear_probe
from sparta_ray.metrics.records import Absent, Score, Subject
from sparta_ray.metrics.sequences import SEQUENCE_METRICS, why_not_smooth
from sparta_ray.run.settings import splits
from sparta_ray.training.stages import ModelKind

TASK = "latent space"

PAIRED_DAYS = 128
"""Most validation days whose two augmented views are compared (Table 3.1)."""


def evaluate_embeddings(setup: Setup, kind: ModelKind) -> Results:
    """Measure how smoothly a model's embeddings move from day to day (Table 4).

    As published, the days are the first ones of the data's whole test part, which the tasks split
    again. Their masks are those of the evaluation.
    """
    part = first_test_days(setup)
    h_TD = setup.latents(kind).masked(part, setup.run.downstream.mask, STREAM).numpy()
    subject = Subject(TASK, kind)
    indices = np.arange(part.start, part.stop)
    days = setup.since_1970(indices)
    results = Results().add(_smoothness(subject, h_TD, days))
    results.add(_agreements_with_blocks(subject, h_TD, derive_seed(setup.run.seed, "clusters")))
    agreement, whole_TD = MaskAgreement(), setup.latents(kind).whole(part).numpy()
    results.add([Cases(subject, days).score(agreement, agreement.statistics(h_TD, whole_TD))])
    times = setup.store.days[indices].astype("datetime64[ns]")
    results.arrays[f"embeddings-{kind}"] = xr.DataArray(
        h_TD, dims=("time", "component"), coords={"time": times}
    )
    return results


def first_test_days(setup: Setup) -> Split:
    """Return the first days of the data's test part, as many as `smoothness_days`."""
    test = splits(setup.run, len(setup.store))["test"]
    count = min(setup.run.evaluation.smoothness_days, len(test))
    return Split(test.start, test.start + count)


def _agreements_with_blocks(
    subject: Subject, h_TD: NDArray[np.float32], seed: int
) -> Iterator[Score | Absent]:
    """Yield how far clusters of days are blocks of consecutive days."""
    for clusters in BLOCK_CLUSTERS:
        metric = f"block nmi k={clusters}"
        try:
            yield subject.score(metric, block_agreement(h_TD, clusters, seed))
        except ValueError as error:
            yield Absent(subject.task, subject.model, metric, str(error))


def _smoothness(
    subject: Subject, h_TD: NDArray[np.float32], days: NDArray[np.float64]
) -> Iterator[CaseSums | Score | Absent]:
    """Yield how far embeddings move from day to day, and how large and full their space is."""
    values: dict[str, Callable[[], float]] = {
        "temporal distance std": lambda: float(temporal_distances(h_TD).std()),
        "cycle distance std": lambda: float(cycle_distances(h_TD).std()),
        "total variance": lambda: total_variance(h_TD),
        "effective rank": lambda: effective_rank(h_TD),
    }
    if reason := why_not_smooth(h_TD):
        for key in (*values, *(metric.key for metric in SEQUENCE_METRICS)):
            yield Absent(subject.task, subject.model, key, reason)
        return
    for key, value in values.items():
        yield subject.score(key, value())
    for metric in SEQUENCE_METRICS:
        yield Cases(subject, metric.days(days)).score(metric, metric.statistics(h_TD))


def evaluate_probes(setup: Setup, kind: ModelKind) -> Results:
    """Measure how well simple probes and clusters find the seasons in masked days' embeddings."""
    results, subject = Results(), Subject(TASK, kind)
    h = {name: _for_seasons(setup, kind, name) for name in setup.parts}
    seasons = {
        name: season_of(setup.store.days[part.start : part.stop])
        for name, part in setup.parts.items()
    }
    train, validation = ((h[name], seasons[name]) for name in ("train", "validation"))
    cases = Cases(subject, setup.since_1970(setup.test_days))
    guesses: dict[str, Callable[[], NDArray[np.int64]]] = {
        "linear probe accuracy": lambda: linear_probe(train, validation, h["test"]),
        "knn probe accuracy": lambda: knn_probe(train, h["test"]),
    }
    for metric, guess in guesses.items():
        try:
            right = guess() == seasons["test"]
        except ValueError as error:
            results.absent.append(Absent(TASK, kind, metric, str(error)))
        else:
            results.add([cases.mean(metric, right.astype(np.float64))])
    seed = derive_seed(setup.run.seed, "clusters")
    for clusters in SEASON_CLUSTERS:
        metric = f"season nmi k={clusters}"
        try:
            agreement = cluster_agreement(h["test"], seasons["test"], clusters, seed)
        except ValueError as error:
            results.absent.append(Absent(TASK, kind, metric, str(error)))
        else:
            results.scores.append(subject.score(metric, agreement))
    return results


def _for_seasons(setup: Setup, kind: ModelKind, part: SplitName) -> NDArray[np.float32]:
    """Return embeddings of a part's days under the masks of season classification."""
    mask = setup.run.downstream.classification_mask
    h_TD: NDArray[np.float32] = (
        setup.latents(kind).masked(setup.parts[part], mask, f"season {part}").numpy()
    )
    return h_TD


def evaluate_pairs(setup: Setup, kind: ModelKind) -> Results:
    """Compare two augmented views of validation days, of the same and of other days (Table 3.1).

    The days are drawn at random from the validation split of the pretraining; views are cropped
    and smoothed, not masked.
    """
    validation = splits(setup.run, len(setup.store))["validation"]
    rng = np.random.default_rng(derive_seed(setup.run.seed, "pairs"))
    count = min(PAIRED_DAYS, len(validation))
    days = np.sort(rng.choice(len(validation), count, replace=False)) + validation.start
    x_TVXY = setup.store.read_standardised(days)
    embedder = setup.latents(kind).embedder
    first, second = (
        embedder.encode_crops(x_TVXY, derive_seed(setup.run.seed, "pair", view), days).numpy()
        for view in range(2)
    )
    cases = Cases(Subject(TASK, kind), setup.since_1970(days))
    results = Results().add(
        cases.score(metric, metric.statistics(first, second))
        for metric in (PositiveCosine(), NegativeCosine())
    )
    variance = np.concatenate([first, second]).var(axis=0, dtype=np.float64).mean()
    results.scores.append(cases.subject.score("embedding variance", float(variance)))
    times = setup.store.days[days].astype("datetime64[ns]")
    results.arrays[f"pairs-{kind}"] = xr.DataArray(
        np.stack([first, second]), dims=("view", "time", "component"), coords={"time": times}
    )
    return results
