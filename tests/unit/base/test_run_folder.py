import uuid
from pathlib import Path

import pytest
import yaml

from sparta_ray.base.config import from_tree, load
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.run.ownership import Allowed, claim
from sparta_ray.run.settings import Run


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    """A run folder on disk, and one behind an fsspec URL."""
    if request.param == "memory":
        return RunFolder(f"memory://{uuid.uuid4()}/run")
    return RunFolder(str(tmp_path / "runs" / "run"))


def test_files_are_written_read_and_replaced(folder):
    assert not folder.exists("report/index.html")
    folder.write("report/index.html", "Zürich")
    assert folder.exists("report/index.html")
    assert folder.exists("report")
    assert folder.read("report/index.html") == "Zürich"
    folder.write("report/index.html", b"\x00\xff")
    assert folder.read_bytes("report/index.html") == b"\x00\xff"


def test_no_partial_file_is_left(tmp_path):
    folder = RunFolder(str(tmp_path))
    folder.write("a/b.txt", "whole")
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["b.txt"]


def test_records_are_appended_and_read_back(folder):
    assert folder.read_records("metrics.jsonl") == []
    folder.append_records("metrics.jsonl", [{"loss": 1.5}, {"loss": 0.1}])
    folder.append_records("metrics.jsonl", [])
    folder.append_records("metrics.jsonl", [{"name": "a\nb", "none": None}])
    assert folder.read_records("metrics.jsonl") == [
        {"loss": 1.5},
        {"loss": 0.1},
        {"name": "a\nb", "none": None},
    ]


def test_a_torn_last_line_is_left_out_and_spoils_nothing_after_it(tmp_path):
    folder = RunFolder(str(tmp_path))
    folder.append_records("metrics.jsonl", [{"step": 1}, {"step": 2}])
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-4])
    assert folder.read_records("metrics.jsonl") == [{"step": 1}]
    folder.drop_torn_record("metrics.jsonl")
    folder.append_records("metrics.jsonl", [{"step": 3}])
    assert folder.read_records("metrics.jsonl") == [{"step": 1}, {"step": 3}]


def test_a_file_that_is_one_torn_line(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"st')
    folder = RunFolder(str(tmp_path))
    folder.drop_torn_record("metrics.jsonl")
    folder.append_records("metrics.jsonl", [{"step": 1}])
    assert folder.read_records("metrics.jsonl") == [{"step": 1}]


def test_its_url_means_the_same_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = str(Path(tmp_path / "runs/a").resolve())
    assert RunFolder("runs/a").url == here
    assert RunFolder(f"file://{here}").url == here
    assert RunFolder("runs/a").child("models", "sparta") == f"{here}/models/sparta"
    assert RunFolder("memory://runs/a").child("models") == "memory://runs/a/models"
    assert RunFolder("runs/a").is_local
    assert RunFolder(f"file://{here}").is_local
    assert not RunFolder("memory://runs/a").is_local


def test_the_same_run_may_claim_its_folder_again(folder):
    claim(folder, Run(), "abc")
    record = yaml.safe_load(folder.read("run.yaml"))
    assert record["data_fingerprint"] == "abc"
    assert from_tree(Run, record["config"], "run.yaml") == Run()
    assert {"sparta-ray", "ray", "torch"} <= record["versions"].keys()
    claim(folder, Run(), "abc")
    assert yaml.safe_load(folder.read("run.yaml")) == record


def test_a_run_recorded_before_a_setting_existed_goes_on(folder):
    run = load(Run, None, ["model.fusion={kind: graph}"])
    claim(folder, run, "abc")
    record = yaml.safe_load(folder.read("run.yaml"))
    del record["config"]["model"]["encoder"]
    del record["config"]["model"]["fusion"]["layer"]
    folder.write("run.yaml", yaml.safe_dump(record))
    claim(folder, run, "abc")
    with pytest.raises(ConfigError, match="'GATConv' -> 'GATv2Conv'"):
        claim(folder, load(Run, None, ["model.fusion={kind: graph, layer: GATv2Conv}"]), "abc")


def test_a_record_that_cannot_be_read_is_compared_as_it_is(folder):
    claim(folder, Run(), "abc")
    record = yaml.safe_load(folder.read("run.yaml"))
    record["config"]["model"]["depth"] = 3
    folder.write("run.yaml", yaml.safe_dump(record))
    with pytest.raises(ConfigError, match=r"model.depth: 3 -> '\(absent\)'"):
        claim(folder, Run(), "abc")


def test_other_settings_are_refused_and_listed(folder):
    claim(folder, Run(), "abc")
    other = load(Run, None, ["seed=1", "training.stages=[{kind: pretrain, epochs: 3}]"])
    with pytest.raises(ConfigError, match="belongs to another run") as error:
        claim(folder, other, "abc")
    lines = str(error.value).splitlines()
    assert "  seed: 0 -> 1" in lines
    assert "  training.stages.0.epochs: 100 -> 3" in lines
    assert "  training.stages.3.kind: 'autoencoder' -> '(absent)'" in lines
    assert lines[-1].startswith("choose another name (--set name=…)")


def test_other_data_are_refused_with_both_fingerprints(folder):
    claim(folder, Run(), "abc")
    with pytest.raises(ConfigError, match="data fingerprint: abc -> xyz"):
        claim(folder, Run(), "xyz")


@pytest.mark.parametrize(
    "override",
    [
        "scaling.num_workers=4",
        "scaling.use_gpu=true",
        "evaluation.smoothness_days=100",
        "training.keep_checkpoints=5",
        "scaling.num_workers=[1, 3]",
        "training.checkpoint_every_steps=10",
        "training.report_seconds=0",
        "training.stall_seconds=5",
        "data.store=elsewhere/copy.zarr",
        "folder=elsewhere",
    ],
)
def test_what_does_not_change_the_weights_is_free_to_change(folder, override):
    claim(folder, Run(), "abc")
    claim(folder, load(Run, None, [override]), "abc")


@pytest.mark.parametrize(
    "override",
    [
        "model.width=0.5",
        "sampling.negatives=false",
        "training.precision=bfloat16",
        "training.keep=best",
    ],
)
def test_what_changes_the_weights_is_not(folder, override):
    claim(folder, Run(), "abc")
    with pytest.raises(ConfigError, match=override.partition("=")[0]):
        claim(folder, load(Run, None, [override]), "abc")


def test_what_a_user_means_to_change_is_recorded(folder, capsys):
    claim(folder, Run(), "abc")
    other = load(Run, None, ["seed=1"])
    with pytest.raises(ConfigError, match=r"--allow-changed-config --allow-changed-data$"):
        claim(folder, other, "xyz", Allowed(older_checkpoint=True))
    with pytest.raises(ConfigError, match=r"continue it so: --allow-changed-data$") as error:
        claim(folder, other, "xyz", Allowed(changed_config=True))
    assert "seed" not in str(error.value)
    claim(folder, other, "xyz", Allowed(changed_config=True, changed_data=True))
    assert "seed: 0 -> 1" in capsys.readouterr().out
    record = yaml.safe_load(folder.read("run.yaml"))
    assert (record["config"]["seed"], record["data_fingerprint"]) == (1, "xyz")
    assert record["changes"] == ["seed: 0 -> 1", "data fingerprint: abc -> xyz"]
    claim(folder, other, "xyz")
    with pytest.raises(ConfigError, match="seed: 1 -> 0"):
        claim(folder, Run(), "xyz")


def test_names_and_removal(folder):
    folder.write("a/one/file", "x")
    folder.write("a/two", "y")
    assert folder.names("a") == ["one", "two"]
    assert folder.names("b") == []
    folder.remove("a/one")
    assert folder.names("a") == ["two"]


def test_a_held_folder_is_not_held_twice(tmp_path):
    second = RunFolder(str(tmp_path)).exclusive_lock()
    with (
        RunFolder(str(tmp_path)).exclusive_lock(),
        pytest.raises(ConfigError, match="in use by another process"),
        second,
    ):
        pass
    with RunFolder(str(tmp_path)).exclusive_lock():
        pass


def test_ray_writes_where_the_folder_is(folder, tmp_path):
    """Ray takes a path on a file system; it must be the one that the folder itself reads."""
    told = folder.for_ray("downstream")
    if folder.is_local:
        assert told == {"storage_path": str(tmp_path / "runs/run/downstream")}
        return
    filesystem = told["storage_filesystem"]
    filesystem.create_dir(told["storage_path"])
    with filesystem.open_output_stream(f"{told['storage_path']}/trial.json") as file:
        file.write(b"{}")
    assert folder.read("downstream/trial.json") == "{}"
