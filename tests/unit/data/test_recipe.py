from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparta_ray.config import ConfigError, from_tree
from sparta_ray.data import store
from sparta_ray.data.recipe import (
    DataConfig,
    check_settings,
    finish,
    read_markers,
    read_recipe,
    write_shard,
)
from sparta_ray.data.sources import NetCDFSource
from sparta_ray.data.splits import SplitConfig

DAYS = 400
LABELS = ("geopotential@850", "2m_temperature")


@pytest.fixture(scope="module")
def dataset(make_dataset):
    return make_dataset(days=DAYS)


@pytest.fixture
def config(tmp_path, dataset):
    dataset.to_netcdf(tmp_path / "source.nc", engine="h5netcdf")
    return config_of(tmp_path, "source.nc", "a.zarr")


def config_of(folder, source, path):
    return DataConfig(
        source=NetCDFSource(kind="netcdf", paths=f"{folder}/{source}", simulated=True),
        store=str(folder / path),
        variables=LABELS,
    )


def prepared(config):
    """Prepare a store from start to end, one shard after another."""
    recipe = read_recipe(config)
    store.write_template(config.store, recipe.layout)
    finish(recipe, {n: write_shard(recipe, n) for n in range(recipe.layout.shards)})
    return store.Store(config.store)


def expected(dataset):
    geopotential = dataset["geopotential"].sel(level=850).values
    return np.stack([geopotential, dataset["2m_temperature"].values], axis=1).astype(np.float32)


def test_a_prepared_store_holds_the_sources_days(config, dataset):
    made = prepared(config)
    fields = expected(dataset)
    assert made.variables == LABELS
    assert_allclose(made.read(np.arange(DAYS)), fields, rtol=1e-6)
    training = fields[:240].astype(np.float64)
    assert made.training_days == 240
    assert_allclose(made.statistics.mean, training.mean(axis=(0, 2, 3)), rtol=1e-9)
    assert_allclose(made.statistics.std, training.std(axis=(0, 2, 3), ddof=1), rtol=1e-9)
    assert made.provenance["title"] == "made-up weather"
    assert made.provenance["last_day"] == "1980-02-04"
    assert (made.provenance["simulated"], made.provenance["samples_per_day"]) == (True, 1)


def test_statistics_stop_at_the_last_training_day_in_whichever_shard(config, dataset):
    for share in (0.05, 0.95):  # inside the first shard; inside the second
        changed = replace(
            config,
            store=f"{config.store}-{share}",
            split=SplitConfig(train=share, validation=0.01),
        )
        made = prepared(changed)
        training = expected(dataset)[: int(share * DAYS)]
        assert_allclose(made.statistics.mean, training.mean(axis=(0, 2, 3), dtype=float), rtol=1e-9)
        assert made.statistics.count == training[:, 0].size


def test_an_interrupted_preparation_is_continued(config):
    recipe = read_recipe(config)
    store.write_template(config.store, recipe.layout)
    written = write_shard(recipe, 1)
    with pytest.raises(ConfigError, match="is not complete"):
        store.Store(config.store)
    found = read_markers(config.store, recipe.layout.shards)
    assert list(found) == [1]
    assert found[1].digest == written.digest
    assert_array_equal(found[1].statistics.mean, written.statistics.mean)
    found[0] = write_shard(recipe, 0)
    finish(recipe, found)
    continued = store.Store(config.store)
    whole = prepared(replace(config, store=f"{config.store}-2"))
    assert continued.fingerprint == whole.fingerprint
    assert_array_equal(continued.statistics.squares, whole.statistics.squares)


def test_the_fingerprint_follows_the_data_and_not_the_path(config, dataset, tmp_path):
    first = prepared(config).fingerprint
    dataset.to_netcdf(tmp_path / "copy.nc", engine="h5netcdf")
    assert prepared(config_of(tmp_path, "copy.nc", "b.zarr")).fingerprint == first
    changed = dataset.copy(deep=True)
    changed["2m_temperature"].values[DAYS - 1, 0, 0] += 0.5
    changed.to_netcdf(tmp_path / "changed.nc", engine="h5netcdf")
    assert prepared(config_of(tmp_path, "changed.nc", "c.zarr")).fingerprint != first


@pytest.mark.parametrize(
    "change",
    [
        {"variables": LABELS[::-1]},
        {"first_day": "1979-01-02"},
        {"last_day": "1980-02-03"},
        {"split": SplitConfig(train=0.5)},
    ],
)
def test_the_fingerprint_follows_channels_days_and_training_share(config, change):
    first = prepared(config).fingerprint
    other = prepared(replace(config, store=f"{config.store}-2", **change))
    assert other.fingerprint != first


def test_a_store_of_other_settings_is_refused_and_the_difference_listed(config):
    prepared(config)
    meta = store.read_meta(config.store)
    check_settings(meta, config)
    check_settings(meta, replace(config, split=SplitConfig(validation=0.1)))
    other = replace(config, variables=LABELS[::-1], last_day="1980-01-01")
    with pytest.raises(ConfigError, match="was prepared from something else") as error:
        check_settings(meta, other)
    assert str(error.value).splitlines()[1:] == [
        "  last_day: None -> '1980-01-01'",
        "  variables.0: 'geopotential@850' -> '2m_temperature'",
        "  variables.1: '2m_temperature' -> 'geopotential@850'",
        "choose another data.store, or delete that one",
    ]


def test_a_field_that_never_changes_is_refused(config, dataset, tmp_path):
    constant = dataset.copy(deep=True)
    constant["2m_temperature"].values[:240] = 280.0
    constant.to_netcdf(tmp_path / "constant.nc", engine="h5netcdf")
    with pytest.raises(ConfigError, match=r"constant over the training days.*\['2m_temperature'\]"):
        prepared(config_of(tmp_path, "constant.nc", "d.zarr"))
    with pytest.raises(ConfigError, match="is not complete"):
        store.Store(str(tmp_path / "d.zarr"))


def test_no_day_to_train_on(config):
    with pytest.raises(ConfigError, match=r"1 days leave none for training at data\.split\.train"):
        read_recipe(replace(config, last_day="1979-01-01"))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "at least one variable, and none twice"),
        (["2m_temperature", "2m_temperature"], "at least one variable, and none twice"),
        (["2m_temperatures"], "unknown variable '2m_temperatures'"),
        (["geopotential"], "write it as 'geopotential@850'"),
    ],
)
def test_variables_are_checked_with_the_config(labels, message):
    with pytest.raises(ConfigError, match=rf"run:\n  variables: .*{message}"):
        from_tree(DataConfig, {"variables": labels}, "run")
