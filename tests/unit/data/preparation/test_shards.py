"""Preparing in one process, as each task of Ray does it; and being killed, crowded and betrayed."""

import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparta_ray.base.errors import ConfigError, ReadError
from sparta_ray.data.plan.splits import SplitConfig
from sparta_ray.data.preparation.facts import inspect_data
from sparta_ray.data.preparation.recipe import DataConfig
from sparta_ray.data.preparation.shards import (
    finish,
    lay_out,
    read_markers,
    write_shard,
)
from sparta_ray.data.sources import NetCDFSource
from sparta_ray.data.store.lock import exclusive_lock
from sparta_ray.data.store.store import Store, read_meta
from tests.gcs import FakeGCS

DAYS = 400
LABELS = ("geopotential@850", "2m_temperature")


@pytest.fixture(scope="module")
def dataset(make_dataset):
    return make_dataset(days=DAYS)


@pytest.fixture(scope="module")
def folder(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    dataset.to_netcdf(folder / "source.nc", engine="h5netcdf")
    return folder


@pytest.fixture
def config(folder, tmp_path):
    return config_of(folder, tmp_path / "a.zarr")


def config_of(folder, path):
    source = NetCDFSource(kind="netcdf", paths=f"{folder}/source.nc")
    return DataConfig(source=source, store=str(path), variables=LABELS)


def prepared(config):
    """Prepare or continue a store, one shard after another."""
    recipe = inspect_data(config).recipe
    shards = lay_out(recipe)
    for shard in range(recipe.layout.shards):
        if shard not in shards:
            shards[shard] = write_shard(recipe, shard)
    finish(recipe, shards)
    return Store(config.store)


def changed(dataset, folder, change):
    """Write the dataset, changed, into a folder of its own."""
    other = dataset.copy(deep=True)
    change(other["2m_temperature"].values)
    folder.mkdir()
    other.to_netcdf(folder / "source.nc", engine="h5netcdf")
    return folder


def contents(path):
    """All that a store consists of, byte for byte."""
    files = [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


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


def test_statistics_stop_at_the_last_training_day_in_whichever_shard(config, dataset):
    for share in (0.05, 0.95):  # inside the first shard; inside the second
        split = SplitConfig(train=share, validation=0.01)
        made = prepared(replace(config, store=f"{config.store}-{share}", split=split))
        training = expected(dataset)[: int(share * DAYS)]
        assert_allclose(made.statistics.mean, training.mean(axis=(0, 2, 3), dtype=float), rtol=1e-9)
        assert made.statistics.count.tolist() == [training[:, 0].size] * 2


def test_in_a_bucket_it_is_the_same(config, folder):
    local = prepared(config)
    remote = prepared(config_of(folder, f"memory://{config.store}"))
    assert remote.fingerprint == local.fingerprint
    days = np.array([399, 3, 366, 3])
    assert_array_equal(remote.read(days), local.read(days))


KILLED = """
import os, signal, sys
from tests.unit.data.preparation.test_shards import config_of, prepared

folder, stores, points = sys.argv[1], sys.argv[2], map(int, sys.argv[3:])

def kill_before_write(number):
    left = [number]
    def hook(event, arguments):
        opened = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if (opened or event == "os.rename") and str(arguments[0]).startswith(stores):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

for point in points:
    if not os.fork():
        kill_before_write(point)
        prepared(config_of(folder, f"{stores}/{point}.zarr"))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_killed_before_any_write_it_continues_to_the_same_bytes(config, folder, tmp_path):
    whole = tmp_path / "a.zarr"
    prepared(config)
    # The template's first file; a coordinate; the first shard's file and its marker; the second's
    # file; the record that all is complete; never.
    points = (1, 7, 24, 26, 28, 33, 100)
    arguments = [str(folder), str(tmp_path), *map(str, points)]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], capture_output=True, text=True, check=True
    )
    codes = [int(line) for line in killed.stdout.split()]
    assert codes == [-signal.SIGKILL] * 6 + [0]
    progress = []
    for point in points:
        path = tmp_path / f"{point}.zarr"
        meta = read_meta(str(path))
        progress.append(len(read_markers(str(path))))
        if meta is None or not meta["complete"]:
            with pytest.raises(ConfigError, match=r"no store|not complete"):
                Store(str(path))
            prepared(replace(config, store=str(path)))
        assert contents(path) == contents(whole)
    assert progress == sorted(progress)
    assert set(progress) == {0, 1, 2}


def test_what_was_finished_is_not_written_again(config):
    recipe = inspect_data(config).recipe
    lay_out(recipe)
    written = write_shard(recipe, 1)
    found = read_markers(config.store)
    assert list(found) == [1]
    assert found[1].digest == written.digest
    assert_array_equal(found[1].statistics.mean, written.statistics.mean)
    file = f"{config.store}/fields/c/1/0/0/0"
    before = os.stat(file).st_mtime_ns
    prepared(config)
    assert os.stat(file).st_mtime_ns == before


@contextmanager
def files_limited_to(size):
    """No file may grow beyond `size` bytes, as on a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_full_disk_is_one_error_and_leaves_nothing_that_looks_whole(config, tmp_path):
    recipe = inspect_data(config).recipe
    lay_out(recipe)
    message = rf"cannot write to the store {config.store}: File too large; mend that, and the same"
    with files_limited_to(20_000), pytest.raises(ConfigError, match=message):
        write_shard(recipe, 0)  # 59 KB
    assert read_markers(config.store) == {}
    assert list(contents(tmp_path / "a.zarr/fields")) == ["zarr.json"]
    with files_limited_to(300), pytest.raises(ConfigError, match="File too large"):
        write_shard(recipe, 1)  # its 6 KB are not there, and had they been, its marker is
    assert read_markers(config.store) == {}
    whole = prepared(replace(config, store=f"{config.store}-2"))
    assert prepared(config).fingerprint == whole.fingerprint


def test_two_preparations_at_once(tmp_path):
    path = f"{tmp_path}/a.zarr"
    who = rf"{path} is being prepared by process {os.getpid()} on .* since 20.*; wait for it"
    for _ in range(2):  # the first leaves nothing behind that would stop the next
        with exclusive_lock(path), pytest.raises(ConfigError, match=who), exclusive_lock(path):
            pass


@pytest.fixture
def hasty(monkeypatch):
    """Locks in a bucket whose holders speak every 0.2 seconds, and are dead after 1.5."""
    monkeypatch.setattr("sparta_ray.data.store.lock._RENEWAL_S", 0.2)
    monkeypatch.setattr("sparta_ray.data.store.lock._SILENCE_S", 1.5)


@pytest.fixture
def bucket_store(tmp_path, monkeypatch):
    """The URL of a store in a bucket, which the real gcsfs reaches."""
    (tmp_path / "bucket").mkdir()
    with FakeGCS(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield "gs://bucket/a.zarr"


def test_two_preparations_at_once_in_a_bucket(hasty, bucket_store, tmp_path):
    who = rf"{bucket_store} is being prepared by process {os.getpid()} on .* since 20.*; wait"
    for _ in range(2):
        with (
            exclusive_lock(bucket_store),
            pytest.raises(ConfigError, match=who),
            exclusive_lock(bucket_store),
        ):
            pass
    assert not (tmp_path / "bucket/a.zarr/.lock").exists()


def test_the_lock_of_a_killed_process_in_a_bucket_is_taken_over(
    hasty, bucket_store, tmp_path, capsys
):
    program = f"""
import os
from sparta_ray.data.store.lock import exclusive_lock
from tests.gcs import FakeGCS
with exclusive_lock({bucket_store!r}):
    os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert (tmp_path / "bucket/a.zarr/.lock").exists()
    with exclusive_lock(bucket_store):
        assert "it does not: its lock is taken over" in capsys.readouterr().out
        with (
            pytest.raises(ConfigError, match=f"process {os.getpid()} "),
            exclusive_lock(bucket_store),
        ):
            pass
    assert not (tmp_path / "bucket/a.zarr/.lock").exists()


def test_a_source_that_changed_before_it_was_done(config, dataset, folder, tmp_path):
    other = changed(dataset, tmp_path / "other", lambda _: None)
    moved = config_of(other, config.store)
    recipe = inspect_data(moved).recipe
    lay_out(recipe)
    write_shard(recipe, 0)
    dataset.isel(time=slice(None, -1)).to_netcdf(other / "newer.nc", engine="h5netcdf")
    (other / "newer.nc").replace(other / "source.nc")
    with pytest.raises(ConfigError, match=r"the source has changed since the store .* was begun"):
        inspect_data(moved)


def test_a_store_that_another_process_has_begun_otherwise_meanwhile(config, dataset, tmp_path):
    waiting = inspect_data(config).recipe
    lay_out(inspect_data(replace(config, variables=LABELS[:1])).recipe)
    with pytest.raises(ConfigError, match=r"was prepared from something else:\n  variables"):
        lay_out(waiting)
    other = changed(dataset, tmp_path / "other", lambda _: None)
    moved = config_of(other, tmp_path / "b.zarr")
    waiting = inspect_data(moved).recipe
    dataset.isel(time=slice(None, -1)).to_netcdf(other / "newer.nc", engine="h5netcdf")
    (other / "newer.nc").replace(other / "source.nc")
    lay_out(inspect_data(moved).recipe)
    with pytest.raises(ConfigError, match=r"the source has changed since the store .* was begun"):
        lay_out(waiting)


def test_a_job_that_only_reads_needs_a_finished_store(config, tmp_path):
    with pytest.raises(ConfigError, match=r"no store at .*a\.zarr; correct data\.store, or run"):
        inspect_data(config, may_prepare=False)
    assert not (tmp_path / "a.zarr").exists()
    lay_out(inspect_data(config).recipe)
    with pytest.raises(ConfigError, match=r"a\.zarr is not complete; run jobs/prepare_data"):
        inspect_data(config, may_prepare=False)
    store = prepared(config)
    found = inspect_data(config, may_prepare=False)
    assert (found.complete, found.recipe, found.fingerprint) == (True, None, store.fingerprint)
    assert_array_equal(found.layout.days, store.days)
    assert found.layout.grid == store.grid == (4, 5)


def test_the_fingerprint_follows_the_data_and_neither_path_nor_shards(config, dataset, tmp_path):
    first = prepared(config)
    copy = changed(dataset, tmp_path / "copy", lambda _: None)
    assert prepared(config_of(copy, tmp_path / "b.zarr")).fingerprint == first.fingerprint
    recipe = inspect_data(config_of(copy, tmp_path / "c.zarr")).recipe
    short = replace(recipe, layout=replace(recipe.layout, shard_steps=50))
    lay_out(short)
    finish(short, {shard: write_shard(short, shard) for shard in range(8)})
    assert Store(short.config.store).fingerprint == first.fingerprint

    def warm(values):
        values[DAYS - 1, 0, 0] += 0.5

    other = changed(dataset, tmp_path / "other", warm)
    assert prepared(config_of(other, tmp_path / "d.zarr")).fingerprint != first.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"variables": LABELS[::-1]},
        {"first_day": "1979-01-02"},
        {"last_day": "1980-02-03"},
        {"split": SplitConfig(train=0.5)},
        {"step": "2d"},
    ],
)
def test_the_fingerprint_follows_channels_steps_and_training_share(config, change):
    first = prepared(config).fingerprint
    other = prepared(replace(config, store=f"{config.store}-2", **change))
    assert other.fingerprint != first


def test_a_field_that_never_changes_is_refused_at_its_shard(dataset, tmp_path):
    def freeze(values):
        values[:] = 280.0

    constant = config_of(changed(dataset, tmp_path / "frozen", freeze), tmp_path / "a.zarr")
    recipe = inspect_data(constant).recipe
    lay_out(recipe)
    message = "2m_temperature is 280 K at every point at 1979-01-01T00:00: the source is damaged"
    with pytest.raises(ReadError, match=message):
        write_shard(recipe, 0)
    assert read_markers(constant.store) == {}
    with pytest.raises(ConfigError, match="is not complete"):
        Store(constant.store)


def test_a_field_that_never_changes_in_training_is_refused(dataset, tmp_path):
    def freeze(values):
        values[:240] = np.nan
        values[:240, 0, 0] = 280.0  # the one station there is

    constant = config_of(changed(dataset, tmp_path / "frozen", freeze), tmp_path / "a.zarr")
    constant = replace(constant, max_missing=0.99)
    with pytest.raises(ConfigError, match=r"constant over the training days.*\['2m_temperature'\]"):
        prepared(constant)
    with pytest.raises(ConfigError, match="is not complete"):
        Store(constant.store)


def test_somebody_elses_files_are_left_alone(config, tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr/thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="holds something other than a store; choose another"):
        prepared(config)
    assert list(contents(tmp_path / "a.zarr")) == ["thesis.txt"]


def test_a_source_that_cannot_be_reached_is_the_users_error(config):
    away = replace(config, source=NetCDFSource(kind="netcdf", paths="http://127.0.0.1:9/a.nc"))
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:9"):
        inspect_data(away)
