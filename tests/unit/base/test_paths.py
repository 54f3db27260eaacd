from pathlib import Path

import pytest

from sparta_ray.base.paths import absolute, output_path


@pytest.fixture
def job_copy(tmp_path, monkeypatch):
    """The working directory of a submitted job."""
    copy = tmp_path / "session/runtime_resources/working_dir_files/_ray_pkg_1"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    return copy


def test_relative_paths_stand_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPARTA_HOME", "/elsewhere")
    assert absolute("a/b") == output_path("a/b") == str(tmp_path / "a/b")


def test_what_a_job_keeps_stands_outside_its_copy(job_copy, monkeypatch):
    monkeypatch.setenv("SPARTA_HOME", "/shared/sparta")
    assert output_path("runs") == "/shared/sparta/runs"
    monkeypatch.delenv("SPARTA_HOME")
    assert output_path("runs") == str(Path.home() / "sparta-ray/runs")
    assert absolute("mine.nc") == str(job_copy / "mine.nc")


def test_absolute_paths_and_urls_stay(job_copy):
    for path in ("/data/store.zarr", "gs://bucket/runs", "file:///data/runs"):
        assert output_path(path) == absolute(path) == path
