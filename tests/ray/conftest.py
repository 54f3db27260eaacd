"""One Ray cluster for this folder, with more logical CPUs than the machine may have."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray
import torch

from sparta_ray.base.config import load
from sparta_ray.data.preparation.facts import inspect_data
from sparta_ray.data.store.store import Store
from sparta_ray.on_ray.prepare import prepare
from sparta_ray.on_ray.session import quieten
from sparta_ray.run.settings import Run, with_absolute_paths
from sparta_ray.training.model_card import ModelCard, save_model

TINY = Path(__file__).parents[2] / "conf" / "smoke.yaml"


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    quieten()
    ray.init(
        address="local",
        num_cpus=6,
        object_store_memory=300 * 2**20,
        logging_level="WARNING",
        logging_config=ray.LoggingConfig(log_level="WARNING"),
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def tiny(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A tiny run whose store is prepared."""
    folder = tmp_path_factory.mktemp("tiny")
    run = with_absolute_paths(
        load(Run, TINY, [f"folder={folder}/runs", f"data.store={folder}/store.zarr"])
    )
    prepare(inspect_data(run.data))
    return run


@pytest.fixture(scope="session")
def tiny_store(tiny: Run) -> Store:
    return Store(tiny.data.store)


@pytest.fixture
def with_models(tiny: Run, tiny_store: Store, tmp_path: Path) -> Run:
    """A run whose models are there, if untrained: the tasks need no good embeddings."""
    run = replace(tiny, folder=str(tmp_path))
    torch.manual_seed(0)
    for kind in run.models:
        card = ModelCard.describe(kind, run.model, run.views, tiny_store)
        save_model(f"{run.path}/models/{kind}", card, card.build().state_dict())
    return run
