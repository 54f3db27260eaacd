import json

import pytest
import torch

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.on_ray.checkpoint_list import FOLDER, Listed, _write_list, read_list, settle
from sparta_ray.training.checkpoint import SavedState, checkpoint_problem, save_state

LIST = "checkpoint_manager_snapshot.json"


@pytest.fixture
def run(tmp_path):
    """A run folder with three checkpoints that count."""
    folder, listed = tmp_path / FOLDER, []
    for number in range(3):
        checkpoint = Listed(f"checkpoint_2026-01-0{number + 1}", 1, 10 * number)
        (folder / checkpoint.name).mkdir(parents=True)
        save_state(folder / checkpoint.name, saved(10 * number))
        listed.append(checkpoint)
    _write_list(RunFolder(str(folder)), listed)
    return RunFolder(str(tmp_path))


def saved(position):
    return SavedState(1, "joint", position, "abc", {"w": torch.ones(40)}, None, None)


def listed(run):
    return [c.name[-2:] for c in read_list(RunFolder(run.child(FOLDER)))]


def path(run, tmp_path, name):
    return tmp_path / FOLDER / f"checkpoint_2026-01-{name}"


def test_whole_checkpoints_are_left_as_they_are(run, tmp_path):
    before = (tmp_path / FOLDER / LIST).read_bytes()
    settle(run, allow_older=False)
    assert (tmp_path / FOLDER / LIST).read_bytes() == before
    assert listed(run) == ["01", "02", "03"]


def test_a_run_without_any_begins(tmp_path):
    settle(RunFolder(str(tmp_path)), allow_older=False)
    assert not (tmp_path / FOLDER / LIST).exists()


def truncate(folder):
    content = (folder / "state.pt").read_bytes()
    (folder / "state.pt").write_bytes(content[:-7])


def flip(folder):
    content = bytearray((folder / "state.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "state.pt").write_bytes(content)


DAMAGES = pytest.mark.parametrize(
    ("harm", "wrong"),
    [
        (truncate, r"state\.pt has [\d,]+ bytes, [\d,]+ were written"),
        (flip, r"state\.pt has sha256 \w+…, written was"),
        (lambda folder: (folder / "state.pt").unlink(), r"state\.pt missing"),
        (lambda folder: (folder / "state.json").write_text("{"), r"state\.json is not readable"),
    ],
)


@DAMAGES
def test_a_damaged_newest_is_named_with_the_one_before(run, tmp_path, harm, wrong):
    harm(path(run, tmp_path, "03"))
    remedy = (
        r"the one before is checkpoint_2026-01-02 \(stage 2, step 10\); to continue from it: "
        "--allow-older-checkpoint"
    )
    with pytest.raises(ConfigError, match=rf"01-03 \(stage 2, step 20\) is damaged: {wrong}.*"):
        settle(run, allow_older=False)
    with pytest.raises(ConfigError, match=remedy):
        settle(run, allow_older=False)
    assert listed(run) == ["01", "02", "03"]


@DAMAGES
def test_the_one_before_is_taken_when_that_is_allowed(run, tmp_path, capsys, harm, wrong):
    harm(path(run, tmp_path, "03"))
    settle(run, allow_older=True)
    assert "left out checkpoint checkpoint_2026-01-03" in capsys.readouterr().out
    assert listed(run) == ["01", "02"]
    assert not path(run, tmp_path, "03").exists()
    tree = json.loads((tmp_path / FOLDER / LIST).read_text())
    assert tree["latest_checkpoint_result"]["checkpoint_dir_name"].endswith("02")


def test_without_a_whole_one_nothing_is_promised(run, tmp_path):
    for name in ("01", "02", "03"):
        truncate(path(run, tmp_path, name))
    for allow in (False, True):
        with pytest.raises(ConfigError, match="anew under another name"):
            settle(run, allow_older=allow)


@pytest.mark.parametrize("content", ["", '{"checkpoint_results": [{"version', "[]"])
def test_a_torn_list_is_made_again_from_what_is_whole(run, tmp_path, content):
    (tmp_path / FOLDER / LIST).write_text(content)
    truncate(path(run, tmp_path, "02"))
    settle(run, allow_older=False)
    assert listed(run) == ["01", "03"]
    assert not path(run, tmp_path, "02").exists()


def test_what_no_list_names_does_not_count(run, tmp_path):
    half = path(run, tmp_path, "09")
    half.mkdir()
    save_state(half, saved(30))
    settle(run, allow_older=False)
    assert not half.exists()
    assert listed(run) == ["01", "02", "03"]


def test_the_list_is_what_ray_train_reads(run):
    # Of its own classes, the format is private; the one test that would notice a change.
    from ray.train.v2._internal.execution.checkpoint.checkpoint_manager import (
        _CheckpointManagerState,
    )

    tree = json.loads(RunFolder(run.child(FOLDER)).read(LIST))
    state = _CheckpointManagerState.model_validate(tree)
    assert json.loads(state.model_dump_json()) == tree


def test_damage_is_seen_at_a_url_too():
    folder = RunFolder("memory://damage/checkpoint")
    folder.write("state.pt", b"abc")
    folder.write("state.json", json.dumps({"bytes": 4, "sha256": "x"}))
    assert checkpoint_problem(folder) == "state.pt has 3 bytes, 4 were written"
