import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.grids import EquiangularGrid
from sparta_ray.chain import LINKS
from sparta_ray.data.preparation.facts import inspect_data
from sparta_ray.data.preparation.recipe import DataConfig, Recipe
from sparta_ray.data.preparation.shards import finish, lay_out, write_shard
from sparta_ray.data.retry import RetryConfig
from sparta_ray.data.sources import SAMPLE, NetCDFSource, ZarrSource, netcdf
from sparta_ray.data.store.lock import exclusive_lock
from sparta_ray.data.store.store import Store, read_meta
from sparta_ray.inspection import inspect
from sparta_ray.on_ray.message_board import open_topic
from sparta_ray.on_ray.prepare import _check_whole_source, _Reading, _ShardWriter, prepare
from sparta_ray.run.settings import Run
from tests.gcs import FakeGCS

SAMPLE_FILE = Path(__file__).parents[2] / "sparta_ray/data/sample" / SAMPLE
SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def shards(path: str) -> dict[str, bytes]:
    files = (file for file in Path(path, "fields", "c").rglob("*") if file.is_file())
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def recipe_of(config: DataConfig) -> Recipe:
    recipe = inspect_data(config).recipe
    assert recipe is not None
    return recipe


def test_ray_writes_what_one_process_writes(tiny: Run, tiny_store: Store, tmp_path: Path) -> None:
    config = replace(tiny.data, store=str(tmp_path / "alone.zarr"))
    recipe = recipe_of(config)
    lay_out(recipe)
    finish(recipe, {shard: write_shard(recipe, shard) for shard in range(recipe.layout.shards)})
    alone = Store(config.store)
    assert alone.fingerprint == tiny_store.fingerprint
    assert shards(alone.path) == shards(tiny_store.path)


def test_interrupted_preparation_continues_with_what_is_missing(
    tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = EquiangularGrid(kind="equiangular", longitudes=24, latitudes=13, poles=True)
    config = replace(
        tiny.data, last_day="1981-06-30", grid=grid, store=str(tmp_path / "store.zarr")
    )
    whole = prepare(inspect_data(replace(config, store=str(tmp_path / "whole.zarr"))))
    assert "prepare 3/3 shards of 320 steps | " in capsys.readouterr().out
    recipe = recipe_of(config)
    lay_out(recipe)
    write_shard(recipe, 1)
    written = (tmp_path / "store.zarr/fields/c/1/0/0/0").stat().st_mtime_ns
    with pytest.raises(ConfigError, match="not complete"):
        Store(config.store)

    assert prepare(inspect_data(config)).fingerprint == whole.fingerprint
    assert (tmp_path / "store.zarr/fields/c/1/0/0/0").stat().st_mtime_ns == written
    assert shards(config.store) == shards(whole.path)
    assert Path(config.store, "zarr.json").read_text() == Path(whole.path, "zarr.json").read_text()


def test_what_was_found_before_the_store_was_finished_still_serves(
    tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(tiny.data, store=str(tmp_path / "store.zarr"))
    found = inspect_data(config)
    first = prepare(found)
    written = (tmp_path / "store.zarr/zarr.json").stat().st_mtime_ns
    again = prepare(found)  # as of a second trial on the same data
    assert again.fingerprint == first.fingerprint
    assert (tmp_path / "store.zarr/zarr.json").stat().st_mtime_ns == written


def test_a_store_of_other_settings_is_not_overwritten(tiny: Run, tiny_store: Store) -> None:
    changed = replace(tiny.data, last_day="1979-12-30")
    with pytest.raises(ConfigError, match="last_day: '1979-12-31' -> '1979-12-30'"):
        prepare(inspect_data(changed))
    assert read_meta(tiny.data.store) is not None
    assert Store(tiny.data.store).fingerprint == tiny_store.fingerprint


def test_the_second_of_two_at_once_is_refused(tiny: Run, tmp_path: Path) -> None:
    config = replace(tiny.data, store=str(tmp_path / "store.zarr"))
    with (
        exclusive_lock(config.store),
        pytest.raises(ConfigError, match="is being prepared by process"),
    ):
        prepare(inspect_data(config))
    assert read_meta(config.store) is None


def test_nothing_is_left_looking_whole_when_a_shard_fails(tiny: Run, tmp_path: Path) -> None:
    with xr.open_dataset(SAMPLE_FILE, engine="h5netcdf") as dataset:
        broken = dataset.isel(time=slice(0, 400)).load()
    broken["geopotential"][380, 0, 3, 4] = np.nan
    broken.to_netcdf(tmp_path / "broken.nc", engine="h5netcdf")
    config = replace(
        tiny.data,
        source=NetCDFSource(kind="netcdf", paths=str(tmp_path / "broken.nc")),
        last_day=None,
        store=str(tmp_path / "store.zarr"),
    )
    with pytest.raises(ConfigError, match=r"geopotential@850 on 1980-01-16 misses 0\.000488 of"):
        prepare(inspect_data(config))
    with pytest.raises(ConfigError, match="not complete"):
        Store(config.store)
    shutil.rmtree(tmp_path / "store.zarr")


@pytest.fixture
def four_files(tiny: Run, tmp_path: Path) -> DataConfig:
    """A source of four files of three months each."""
    with xr.open_dataset(SAMPLE_FILE, engine="h5netcdf") as dataset:
        for quarter in range(4):
            part = dataset.isel(time=slice(90 * quarter, 90 * (quarter + 1)))
            part.to_netcdf(tmp_path / f"quarter{quarter}.nc", engine="h5netcdf")
    return replace(
        tiny.data,
        source=NetCDFSource(kind="netcdf", paths=str(tmp_path / "*.nc")),
        last_day=None,
        store=str(tmp_path / "store.zarr"),
    )


def test_a_process_opens_each_file_once(
    four_files: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(four_files)
    lay_out(recipe)
    opened: list[str] = []

    def counted(filesystem: Any, path: str, remote: bool) -> xr.Dataset:
        opened.append(Path(path).name)
        return open_file(filesystem, path, remote)

    open_file = netcdf._open_file
    monkeypatch.setattr(netcdf, "_open_file", counted)
    writer = _ShardWriter(four_files, recipe.layout.provenance, _Reading(*open_topic(), 3.0))
    for _ in range(4):
        assert writer({"item": 0})["error"] == ""
    assert sorted(opened) == [f"quarter{quarter}.nc" for quarter in range(4)]

    last = Path(str(four_files.source.paths)).parent / "quarter3.nc"  # type: ignore[union-attr]
    os.utime(last, (1, 1))
    assert "the source has changed since the store" in writer({"item": 0})["error"]


def test_a_file_that_comes_while_the_source_is_read_is_noticed(four_files: DataConfig) -> None:
    found = inspect_data(four_files)
    with xr.open_dataset(SAMPLE_FILE, engine="h5netcdf") as dataset:
        late = Path(four_files.store).parent / "quarter4.nc"
        dataset.isel(time=slice(360, 450)).to_netcdf(late, engine="h5netcdf")
    assert found.recipe is not None
    with pytest.raises(ConfigError, match="the source has changed since the store"):
        _check_whole_source(found.recipe)
    late.unlink()
    _check_whole_source(found.recipe)


def test_a_busy_bucket_gives_what_the_local_copy_gives(
    tiny: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sparta_ray.on_ray.prepare._SAY_EVERY", 0.05)
    with xr.open_dataset(SAMPLE_FILE, engine="h5netcdf") as dataset:
        year = dataset.isel(time=slice(0, 365)).drop_encoding()
        chunks = {name: {"chunks": (10, *year[name].shape[1:])} for name in year.data_vars}
        year.to_zarr(tmp_path / "bucket" / "year.zarr", zarr_format=2, encoding=chunks)
    config = replace(tiny.data, variables=("2m_temperature", "geopotential@850"))
    local = ZarrSource(kind="zarr", url=str(tmp_path / "bucket" / "year.zarr"))
    with FakeGCS(tmp_path, busy=0.03, latency_s=0.2) as server:
        remote = ZarrSource(
            kind="zarr",
            url="gs://bucket/year.zarr",
            options=server.options,
            retry=RetryConfig(first_wait_s=0.05),
        )
        copies = [
            prepare(
                inspect_data(replace(config, source=source, store=str(tmp_path / f"{name}.zarr")))
            )
            for name, source in (("local", local), ("remote", remote))
        ]
        assert server.failed["busy"] > 0
        read = [name for name in server.served if name.endswith(".0.0")]
    assert len(read) == 2 * 37  # chunks of ten days
    assert copies[0].fingerprint == copies[1].fingerprint
    assert shards(copies[0].path) == shards(copies[1].path)
    assert copies[0].statistics.to_json() == copies[1].statistics.to_json()
    # One variable of a shard is read, the other not: it is shown before the shard is written.
    shown = capsys.readouterr().out
    assert re.search(r"prepare 0/2 shards of 360 steps \| [1-9]\d* of 12 MB read", shown), shown


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the project's shared data sets")
def test_a_month_of_a_gaussian_grid_is_prepared_though_nothing_could_train_on_it(
    cluster: None, tmp_path: Path
) -> None:
    file = SHARED / "simulated_6h_gaussian96x48_1961-01.nc"
    run = Run(
        data=DataConfig(
            source=NetCDFSource(kind="netcdf", paths=str(file), simulated=True),
            grid=EquiangularGrid(kind="equiangular"),
            store=str(tmp_path / "month.zarr"),
        ),
        folder=str(tmp_path),
    )
    with pytest.raises(ConfigError, match="split"):
        inspect(run, LINKS)
    facts = inspect(run, ("prepare",))
    assert facts.misfit is not None
    assert "can be prepared, but not trained on as configured" in facts.misfit
    store = prepare(facts.data)
    assert store.grid == (64, 32)
    assert len(store) == 30
    assert np.isfinite(store.read(np.arange(30))).all()
