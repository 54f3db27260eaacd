from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

from sparta_ray.base.config import from_tree
from sparta_ray.base.errors import ConfigError, ReadError
from sparta_ray.base.grids import EquiangularGrid, Grid, SourceGrid, area_weights
from sparta_ray.base.variables import PUBLISHED
from sparta_ray.data.plan.splits import SplitConfig
from sparta_ray.data.preparation.recipe import (
    DataConfig,
    check_settings,
    check_source,
    describe_recipe,
    read_recipe,
)
from sparta_ray.data.regrid import ConservativeRegridder
from sparta_ray.data.sources import NetCDFSource

SHARED = Path(__file__).parents[5] / "shared" / "data"
LABELS = ("geopotential@850", "2m_temperature")
COARSE = EquiangularGrid(kind="equiangular", longitudes=4, latitudes=3)


@pytest.fixture(scope="module")
def dataset(make_dataset):
    return make_dataset(days=20, per_day=4, grid=(8, 6))


@pytest.fixture
def config(tmp_path, dataset):
    return config_of(dataset, tmp_path)


def config_of(dataset, folder, **settings):
    dataset.to_netcdf(folder / "source.nc", engine="h5netcdf")
    source = NetCDFSource(kind="netcdf", paths=str(folder / "source.nc"), simulated=True)
    return DataConfig(source=source, store=str(folder / "a.zarr"), variables=LABELS, **settings)


def with_gaps(dataset):
    """Six of 48 points of one variable are missing on the fourth day, for one of its samples."""
    gappy = dataset.copy(deep=True)
    gappy["2m_temperature"][13, :3, :2] = np.nan
    return gappy


def test_fields_are_step_means_on_the_stores_grid(config, dataset):
    recipe = read_recipe(replace(config, grid=COARSE))
    geopotential = dataset["geopotential"].sel(level=850).values
    x_SVXY = np.stack([geopotential, dataset["2m_temperature"].values], axis=1)
    daily = x_SVXY.reshape(20, 4, 2, 8, 6).mean(axis=1).astype(np.float32)
    source = Grid(dataset["longitude"].values, dataset["latitude"].values)
    expected = ConservativeRegridder(source, COARSE.grid(source))(daily)
    assert recipe.layout.shape == (20, 2, 4, 3)
    assert_allclose(recipe.read_fields(3, 17), expected[3:17], rtol=1e-6)
    assert_array_equal(recipe.layout.latitude, [-60, 0, 60])


def test_however_little_memory_is_given_the_fields_are_the_same(config, dataset):
    recipe = read_recipe(replace(config, grid=COARSE, max_missing=0.5))
    fields, day_mb = recipe.read_fields(1, 18), 2 * 8 * 6 * 4 / 2**20
    assert recipe.block_steps >= 20
    for days in (0.5, 3, 7):
        tight = read_recipe(replace(recipe.config, memory_mb=days * day_mb))
        assert tight.block_steps == max(1, days)
        assert_array_equal(tight.read_fields(1, 18), fields)


def test_regridding_before_the_mean_is_regridding_after_it(dataset, tmp_path):
    stored = dataset.transpose("time", "level", "latitude", "longitude").isel(
        latitude=slice(None, None, -1)
    )
    stored = stored.roll(longitude=3, roll_coords=True)
    stored["geopotential"] = (stored["geopotential"] / 9.80665).assign_attrs(units="m")
    for number, one in enumerate((dataset, stored)):
        (tmp_path / str(number)).mkdir()
        config = config_of(one, tmp_path / str(number), grid=COARSE)
        before = read_recipe(config).read_fields(2, 9)
        after = read_recipe(replace(config, max_missing=0.5)).read_fields(2, 9)
        assert_allclose(before, after, rtol=3e-7)
        if number == 0:
            first = before
    assert_allclose(before, first, rtol=3e-7)


def test_an_infinite_value_is_named_where_fields_are_regridded(dataset, tmp_path):
    odd = dataset.copy(deep=True)
    odd["2m_temperature"][13, 0, 0] = np.inf
    recipe = read_recipe(config_of(odd, tmp_path, grid=COARSE))
    with pytest.raises(ReadError, match="2m_temperature has the value inf K at 1979-01-04T06:00"):
        recipe.read_fields(0, 20)


@pytest.mark.parametrize(("step", "steps"), [("6h", 80), ("12h", 40), ("5d", 4)])
def test_steps_of_other_lengths(config, step, steps):
    recipe = read_recipe(replace(config, step=step))
    assert recipe.layout.shape[0] == steps
    assert recipe.read_fields(0, steps).shape == (steps, 2, 8, 6)
    assert (recipe.layout.days.dtype == np.dtype("datetime64[D]")) == (step == "5d")


@pytest.mark.parametrize("grid", [SourceGrid(), COARSE])
def test_any_gap_is_an_error_by_default(dataset, tmp_path, grid):
    recipe = read_recipe(config_of(with_gaps(dataset), tmp_path, grid=grid))
    with pytest.raises(ConfigError, match=r"2m_temperature on 1979-01-04 misses 0\.125 of its"):
        recipe.read_fields(0, 20)


def test_missing_values_are_an_error_that_says_how_many(dataset, tmp_path):
    recipe = read_recipe(config_of(with_gaps(dataset), tmp_path, max_missing=0.1))
    with pytest.raises(ConfigError) as error:
        recipe.read_fields(0, 20)
    assert str(error.value) == (
        "2m_temperature on 1979-01-04 misses 0.125 of its values (NaN), more than data.max_missing "
        "0.1: leave that day out (data.first_day, data.last_day), or raise data.max_missing"
    )
    assert np.isfinite(recipe.read_fields(4, 20)).all()


def test_missing_values_that_are_allowed(dataset, tmp_path):
    config = config_of(with_gaps(dataset), tmp_path, max_missing=0.125)
    gaps = np.argwhere(np.isnan(read_recipe(config).read_fields(0, 20)))
    assert {tuple(gap[:2]) for gap in gaps} == {(3, 1)}
    assert len(gaps) == 6
    # Coarser cells are the mean of what of them is there, and here something always is.
    regridded = read_recipe(replace(config, grid=COARSE)).read_fields(0, 20)
    assert np.isnan(regridded).sum() <= 1
    averaged = replace(config, incomplete_steps="average", max_missing=0)
    assert np.isfinite(read_recipe(averaged).read_fields(0, 20)).all()


def test_where_the_fields_come_from_is_kept(config):
    provenance = read_recipe(config).layout.provenance
    assert provenance["title"] == "made-up weather"
    assert (provenance["first_day"], provenance["last_day"]) == ("1979-01-01", "1979-01-20")
    assert (provenance["simulated"], provenance["samples_per_step"]) == (True, 4)
    assert provenance["licence"] == ""
    assert provenance["recipe"]["grid"] == {"kind": "source"}
    assert "geopotential@850 ← geopotential" in provenance["description"]


def test_a_dry_run_says_what_is_there_and_what_will_be(config):
    lines = "\n".join(describe_recipe(read_recipe(replace(config, grid=COARSE))))
    assert "2m_temperature" in lines
    assert "grid: 4x3, by conservative regridding" in lines
    assert "store: 0 MB to write in 1 shards of" in lines
    stream = "\n".join(describe_recipe(read_recipe(replace(config, mode="stream"))))
    assert "fields stream from the source" in stream


def test_a_first_day_inside_a_chunk_is_pointed_out(dataset, tmp_path):
    chunked = {name: {"chunksizes": (40, *dataset[name].shape[1:])} for name in dataset.data_vars}
    dataset.to_netcdf(tmp_path / "source.nc", engine="h5netcdf", encoding=chunked)
    source = NetCDFSource(kind="netcdf", paths=str(tmp_path / "source.nc"))
    recipe = read_recipe(DataConfig(source=source, variables=LABELS, first_day="1979-01-04"))
    recipe = replace(recipe, layout=replace(recipe.layout, shard_steps=10))
    lines = "\n".join(describe_recipe(recipe))
    assert "chunks: the first step is number 4 of its chunk of 10; " in lines
    assert "none with data.first_day=1979-01-11" in lines
    whole = replace(recipe.config, first_day="1979-01-11")
    assert "chunks: the first" not in "\n".join(describe_recipe(read_recipe(whole)))


def test_a_store_of_other_settings_is_refused_and_the_difference_listed(config):
    provenance = read_recipe(config).layout.provenance
    check_settings(provenance, config)
    patient = replace(config.source, retry=replace(config.source.retry, attempts=2))
    check_settings(
        provenance,
        replace(config, split=SplitConfig(validation=0.1), memory_mb=7, source=patient),
    )
    other = replace(config, variables=LABELS[::-1], last_day="1979-01-18", step="6h", grid=COARSE)
    with pytest.raises(ConfigError, match="was prepared from something else") as error:
        check_settings(provenance, other)
    lines = str(error.value).splitlines()
    assert "  grid.kind: 'source' -> 'equiangular'" in lines
    assert "  last_day: None -> '1979-01-18'" in lines
    assert "  step: '1d' -> '6h'" in lines
    assert "  variables.0: 'geopotential@850' -> '2m_temperature'" in lines
    assert lines[-1] == "choose another data.store, or delete that one"


def test_a_source_that_has_changed_is_refused(config, dataset):
    recorded = read_recipe(config).layout.provenance
    check_source(recorded, read_recipe(config))
    changed = dataset.copy(deep=True)
    changed["2m_temperature"][:] += 0.5
    changed.to_netcdf(config.source.paths, engine="h5netcdf")
    with pytest.raises(ConfigError, match=r"the source has changed since(.|\n)*signature: "):
        check_source(recorded, read_recipe(config))


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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step": "7h"}, r"step: a step is whole days.* \(got '7h'\)"),
        ({"grid": {"kind": "octahedral"}}, "grid: .*'octahedral'"),
        ({"grid": {"kind": "gaussian", "longitudes": 96}}, "grid.gaussian.latitudes: required"),
        ({"max_missing": 1}, "max_missing: .*less than 1"),
        ({"mode": "copy"}, "mode: .*'prepared' or 'stream'"),
    ],
)
def test_settings_are_checked_with_the_config(settings, message):
    with pytest.raises(ConfigError, match=message):
        from_tree(DataConfig, settings, "run")


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the project's shared data sets")
def test_a_months_six_hourly_gaussian_fields_become_days_of_64x32():
    file = SHARED / "simulated_6h_gaussian96x48_1961-01.nc"
    source = NetCDFSource(kind="netcdf", paths=str(file), simulated=True)
    recipe = read_recipe(DataConfig(source=source, grid=EquiangularGrid(kind="equiangular")))
    assert recipe.layout.shape == (30, 5, 64, 32)
    fields = recipe.read_fields(0, 30)
    with xr.open_dataset(file, engine="h5netcdf") as dataset:
        for channel, label in enumerate(PUBLISHED):
            array = dataset[label.split("@")[0]].squeeze().resample(time="1D").mean()
            weights = xr.DataArray(area_weights(dataset["latitude"].values), dims="latitude")
            mean = (array * weights).mean(("latitude", "longitude")).values
            ours = (fields[:, channel] * area_weights(recipe.layout.latitude)).mean(axis=(1, 2))
            assert_allclose(ours, mean, rtol=2e-6, atol=2e-6 * np.abs(array.values).max())
