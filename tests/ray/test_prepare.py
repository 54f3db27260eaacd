import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sparta_ray.config import ConfigError
from sparta_ray.data.prepare import prepare
from sparta_ray.data.recipe import finish, read_recipe, write_shard
from sparta_ray.data.store import Store, read_meta, write_template
from sparta_ray.run import Run


def test_ray_writes_what_one_process_writes(tiny: Run, tiny_store: Store, tmp_path: Path) -> None:
    config = replace(tiny.data, store=str(tmp_path / "alone.zarr"))
    recipe = read_recipe(config)
    write_template(config.store, recipe.layout)
    finish(recipe, {shard: write_shard(recipe, shard) for shard in range(recipe.layout.shards)})
    alone, days = Store(config.store), np.arange(len(tiny_store))
    assert alone.fingerprint == tiny_store.fingerprint
    np.testing.assert_array_equal(alone.read(days), tiny_store.read(days))


def test_interrupted_preparation_continues_with_what_is_missing(tiny: Run, tmp_path: Path) -> None:
    config = replace(tiny.data, last_day="1981-06-30", store=str(tmp_path / "store.zarr"))
    whole = prepare(replace(config, store=str(tmp_path / "whole.zarr")))
    recipe = read_recipe(config)
    assert recipe.layout.shards == 3
    write_template(config.store, recipe.layout)
    write_shard(recipe, 1)
    written = (tmp_path / "store.zarr/fields/c/1/0/0/0").stat().st_mtime_ns
    with pytest.raises(ConfigError, match="not complete"):
        Store(config.store)

    assert prepare(config).fingerprint == whole.fingerprint
    assert (tmp_path / "store.zarr/fields/c/1/0/0/0").stat().st_mtime_ns == written
    for shard in range(3):
        part = f"fields/c/{shard}/0/0/0"
        continued = (tmp_path / "store.zarr" / part).read_bytes()
        assert continued == (tmp_path / "whole.zarr" / part).read_bytes()


def test_a_store_of_other_settings_is_not_overwritten(tiny: Run, tiny_store: Store) -> None:
    changed = replace(tiny.data, last_day="1979-12-30")
    with pytest.raises(ConfigError, match="last_day: '1979-12-31' -> '1979-12-30'"):
        prepare(changed)
    assert read_meta(tiny.data.store) is not None
    assert Store(tiny.data.store).fingerprint == tiny_store.fingerprint


def test_nothing_is_left_looking_whole_when_a_shard_fails(tiny: Run, tmp_path: Path) -> None:
    import xarray as xr

    from sparta_ray.data.sources import SAMPLE, NetCDFSource

    sample = Path(__file__).parents[2] / "sparta_ray/data/sample" / SAMPLE
    with xr.open_dataset(sample, engine="h5netcdf") as dataset:
        broken = dataset.isel(time=slice(0, 400)).load()
    broken["geopotential"][380, 0, 3, 4] = np.nan
    broken.to_netcdf(tmp_path / "broken.nc", engine="h5netcdf")
    config = replace(
        tiny.data,
        source=NetCDFSource(kind="netcdf", paths=str(tmp_path / "broken.nc")),
        last_day=None,
        store=str(tmp_path / "store.zarr"),
    )
    with pytest.raises(Exception, match="geopotential@850 on 1980-01-16"):
        prepare(config)
    with pytest.raises(ConfigError, match="not complete"):
        Store(config.store)
    shutil.rmtree(tmp_path / "store.zarr")
