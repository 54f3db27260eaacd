"""Whatever a file on disk holds, reading it succeeds or ends in one error in words."""

import json
import os
import shutil
from contextlib import suppress

import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparta_ray.base.config import to_tree
from sparta_ray.base.errors import ConfigError, ReadError
from sparta_ray.base.folder import RunFolder
from sparta_ray.base.paths import open_filesystem
from sparta_ray.base.records import decode_json, decode_yaml
from sparta_ray.data.preparation.shards import ShardRecord
from sparta_ray.data.store.block_cache import BlockCache
from sparta_ray.data.store.lock import _said_by
from sparta_ray.data.store.statistics import Statistics
from sparta_ray.data.store.store import Store
from sparta_ray.evaluation.packing import pack_array, pack_cases, unpack_array, unpack_cases
from sparta_ray.evaluation.results import Results, load_results, save_results
from sparta_ray.metrics.case_sums import CaseSums
from sparta_ray.metrics.config import EvaluationConfig
from sparta_ray.metrics.records import Score
from sparta_ray.run.data_record import data_of, save_data_record
from sparta_ray.run.history import read_history, stage_history, training_machines
from sparta_ray.run.ownership import claim
from sparta_ray.run.replay import Failure
from sparta_ray.run.settings import Run
from sparta_ray.run.study_record import StudyRecord, read_study_record
from sparta_ray.run.trial import read_trial
from tests.mutations import damaged_bytes, damaged_json

SOME = settings(max_examples=60, suppress_health_check=list(HealthCheck))
IN_WORDS = (ConfigError, ReadError)
SCORE = Score("forecast", "sparta", "rrmse", 1 / 3, "%", 25, setting="s", seed=0)


@pytest.fixture
def folder(tmp_path):
    return RunFolder(str(tmp_path / "run"))


def damage(folder, name, read, data, draw=damaged_json):
    content = folder.read_bytes(name)
    tree = content if draw is damaged_bytes else yaml.safe_load(content)
    drawn = data.draw(draw(tree))
    folder.write(name, drawn)
    try:
        with suppress(*IN_WORDS):
            read()
    finally:
        folder.write(name, content)


@settings(SOME, max_examples=15)
@given(st.data())
def test_a_runs_own_record(folder, data):
    claim(folder, Run(), "abc")
    damage(folder, "run.yaml", lambda: claim(folder, Run(), "abc"), data)


@SOME
@given(st.data())
def test_a_studys_record(folder, data):
    tree = {"study": {}, "trials": [{"name": "a-seed0", "variant": "a", "seed": 0}]}
    folder.write("study.yaml", yaml.safe_dump(tree))
    damage(folder, "study.yaml", lambda: read_study_record(folder), data)


@SOME
@given(st.data())
def test_scores(folder, data):
    cases = CaseSums(SCORE, "mean", np.arange(3.0), np.ones((2, 3)))
    save_results(folder, EvaluationConfig(), Results([SCORE], windows=[cases]))
    damage(folder, "evaluation/scores.json", lambda: load_results(folder), data)
    damage(folder, "evaluation/windows.npz", lambda: load_results(folder), data, damaged_bytes)


@SOME
@given(st.data())
def test_arrays_of_an_evaluation(data):
    array = pack_array(xr.DataArray(np.arange(6.0).reshape(2, 3), dims=("a", "b")))
    cases = pack_cases([CaseSums(SCORE, "mean", np.arange(3.0), np.ones((2, 3)))])
    for content, unpack in ((array, unpack_array), (cases, unpack_cases)):
        with suppress(*IN_WORDS):
            unpack(data.draw(damaged_bytes(content)), "a file")


@SOME
@given(st.data())
def test_records_of_training(folder, data):
    record = {"stage": "pretrain", "time": 1.5, "event": "epoch", "epoch": 0, "train_loss": 0.5}
    start = {"position": 0, "precision": "float32", "device": "cpu", "ranks": 1}
    line = json.dumps({"stage": "pretrain", "time": 1.0, "event": "start", **start})
    folder.write("metrics.jsonl", f"{line}\n".encode() + data.draw(damaged_json(record)) + b"\n")
    with suppress(*IN_WORDS):
        read_history(folder)
        stage_history(folder, "pretrain")
        training_machines(folder)


@SOME
@given(st.data())
def test_a_trial(folder, data):
    tree = {"model": "sparta", "task": "forecast", "setting": "s", "seed": 0}
    folder.write("downstream/a/trial.json", data.draw(damaged_json(tree)))
    with suppress(*IN_WORDS):
        read_trial(folder, "downstream/a")


@SOME
@given(st.data())
def test_the_record_of_the_data(folder, make_store, data):
    if not folder.exists("data.json"):
        save_data_record(folder, Store(make_store()))
    damage(folder, "data.json", lambda: len(data_of(folder, "nowhere").days), data)


@SOME
@given(st.data())
def test_a_shards_marker_and_a_lock(data):
    statistics = Statistics.of(np.zeros((0, 2, 3, 3), np.float32)).to_json()
    tree = {"digest": "0" * 32, "statistics": statistics}
    with suppress(*IN_WORDS):
        decode_json(data.draw(damaged_json(tree)), ShardRecord, "a marker", "")
    _said_by(data.draw(damaged_json({"process": 1, "host": "a", "since": "b"})))


@pytest.fixture(scope="module")
def store_folder(make_store):
    return RunFolder(make_store(days=12))


def read_store(path):
    store = Store(path)
    assert len(store) == len(store.read(np.arange(len(store))))
    assert store.layout.shards > 0
    assert len(store.variables) == len(store.statistics.mean)
    assert store.grid == (len(store.longitude), len(store.latitude))


@settings(SOME, max_examples=80)
@given(st.data())
def test_a_stores_metadata(store_folder, data):
    damage(store_folder, "zarr.json", lambda: read_store(store_folder.path), data)


@SOME
@given(st.data())
def test_a_stores_arrays(store_folder, data):
    name = data.draw(st.sampled_from(["time", "variable", "longitude", "latitude"])) + "/c/0"
    damage(store_folder, name, lambda: read_store(store_folder.path), data, damaged_bytes)


def test_a_store_whose_filter_would_run_code_is_not_decoded(store_folder, tmp_path):
    path = tmp_path / "hostile.zarr"
    shutil.copytree(store_folder.path, path)
    document = json.loads((path / "zarr.json").read_text())
    arrays = document["consolidated_metadata"]["metadata"]
    arrays["time"]["codecs"] = [{"name": "numcodecs.pickle", "configuration": {}}]
    (path / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=r"time/zarr.json is damaged: codecs.0"):
        len(Store(str(path)))


@pytest.mark.parametrize("length", [-1, 10**12])
def test_an_axis_that_no_store_has_is_refused_before_it_is_allocated(
    store_folder, tmp_path, length
):
    path = tmp_path / "large.zarr"
    shutil.copytree(store_folder.path, path)
    document = json.loads((path / "zarr.json").read_text())
    document["consolidated_metadata"]["metadata"]["time"]["shape"] = [length]
    (path / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="is damaged"):
        len(Store(str(path)))


@SOME
@given(st.data())
def test_a_failed_step(tmp_path, data):
    failure = Failure(
        "the loss is nan", to_tree(Run()), 0, 0, True, 5, "float32", ["1979-01-01"],
        [-45.0, 45.0], {"a": torch.ones(2)}, {"day": torch.ones(1, 1, 2, 2)},
    )  # fmt: skip
    path = tmp_path / "step.pt"
    path.write_bytes(data.draw(damaged_bytes(failure.to_bytes())))
    with suppress(*IN_WORDS):
        Failure.read(str(path))


@pytest.mark.parametrize("content", [{"a": 1}, [1], 3, {"error": "x"}])
def test_something_else_is_no_failed_step(tmp_path, content):
    torch.save(content, tmp_path / "step.pt")
    with pytest.raises(ConfigError, match="is not a failed step"):
        Failure.read(str(tmp_path / "step.pt"))


def test_a_record_names_file_place_and_remedy():
    with pytest.raises(ConfigError, match=r"^a.yaml is damaged: trials.0.variant: required, but"):
        decode_yaml("trials: [{name: a}]", StudyRecord, "a.yaml", "delete it")
    with pytest.raises(ConfigError, match=r"a.json is damaged: Invalid JSON.*; delete it$"):
        decode_json(b"{", StudyRecord, "a.json", "delete it")


def test_a_line_in_the_middle_that_is_no_record_is_named(folder):
    folder.write("metrics.jsonl", '{"a": 1}\n{"a"\n{"a": 2}\n{"to')
    with pytest.raises(ConfigError, match=r"metrics.jsonl, line 2, is damaged"):
        folder.read_records("metrics.jsonl")


def test_a_folder_that_is_a_file_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    folder = RunFolder(str(tmp_path / "file" / "run"))
    with pytest.raises(ConfigError, match="cannot write"):
        folder.write("run.yaml", "a")
    with pytest.raises(ConfigError, match="cannot write"), folder.exclusive_lock():
        pass
    assert not folder.exists("run.yaml")


def test_a_missing_file_is_one_error(folder):
    with pytest.raises(ConfigError, match=r"weights.safetensors is missing; copy"):
        folder.read_bytes("weights.safetensors")


@pytest.mark.parametrize("url", ["foo://x", "foo://x/y.zarr"])
def test_an_unknown_kind_of_url_is_one_error(url):
    for use in (RunFolder, Store, open_filesystem):
        with pytest.raises(ConfigError, match=r"Protocol not known: foo; use a path"):
            use(url)


def test_a_cache_folder_that_is_not_ours_alone_is_refused(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "link").symlink_to(elsewhere)
    with pytest.raises(OSError, match="is a link or a file"):
        BlockCache(tmp_path / "link", 10)
    elsewhere.chmod(0o777)
    with pytest.raises(PermissionError, match="others may write"):
        BlockCache(elsewhere, 10)
    BlockCache(tmp_path / "new", 10)
    assert os.stat(tmp_path / "new").st_mode & 0o777 == 0o700


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"anything"])
def test_a_torn_block_is_read_again(tmp_path, content):
    (tmp_path / "0.npy").write_bytes(content)
    cache = BlockCache(tmp_path, 10**6)
    fields = np.ones(3, np.float32)
    for _ in range(2):
        np.testing.assert_array_equal(cache.get(0, lambda _: fields, wait=True), fields)
    assert len(np.load(tmp_path / "0.npy")) == 3
