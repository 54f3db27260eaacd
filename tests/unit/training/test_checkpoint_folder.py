import json

import pytest
import torch

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.training.checkpoint import SavedState, checkpoint_problem, load_state, save_state
from sparta_ray.training.checkpoint_folder import FOLDER, CheckpointFolder

LISTED_BY_RAY = "checkpoint_manager_snapshot.json"


def saved(position, stage=1):
    return SavedState(stage, "joint", position, "abc", {"w": torch.ones(40)}, None, None)


def names(run):
    found = RunFolder(run.child(FOLDER)).names("")
    return [name for name in found if name.startswith("checkpoint_") and "snapshot" not in name]


def new_layout(folder):
    checkpoints = CheckpointFolder(RunFolder(str(folder)))
    for number in range(3):
        checkpoints.save(saved(10 * number), keep=3)
    return [f"checkpoint_stage2_step{10 * number:08d}" for number in range(3)]


def old_layout(folder):
    """Write checkpoints as Ray Train did: named by date, and listed in a file of its own."""
    dated = [f"checkpoint_2026-01-0{number + 1}_10-00-00.123456" for number in range(3)]
    for number, name in enumerate(dated):
        save_state(RunFolder(str(folder / FOLDER / name)), saved(10 * number))
    results = [{"version": 0, "checkpoint_dir_name": name, "metrics": {}} for name in dated]
    (folder / FOLDER / LISTED_BY_RAY).write_text(json.dumps({"checkpoint_results": results}))
    return dated


@pytest.fixture(params=[new_layout, old_layout])
def written(request, tmp_path):
    """A run folder with three checkpoints, in either layout, and their names, oldest first."""
    return RunFolder(str(tmp_path)), request.param(tmp_path)


@pytest.fixture(params=["local", "memory"])
def run(request, tmp_path):
    return RunFolder(str(tmp_path) if request.param == "local" else f"memory://{tmp_path}")


def test_the_newest_few_are_kept_by_stage_and_step(run):
    checkpoints = CheckpointFolder(run)
    checkpoints.settle(allow_older=False)
    assert checkpoints.newest() is None
    for stage, position in ((0, 9), (0, 10), (0, 100), (1, 3)):
        checkpoints.save(saved(position, stage), keep=2)
    assert names(run) == ["checkpoint_stage1_step00000100", "checkpoint_stage2_step00000003"]
    assert load_state(checkpoints.newest(), "abc").position == 3


def test_whole_checkpoints_are_left_as_they_are(written):
    run, before = written
    checkpoints = CheckpointFolder(run)
    checkpoints.settle(allow_older=False)
    assert names(run) == before
    assert load_state(checkpoints.newest(), "abc").position == 20


def test_a_run_of_the_old_layout_continues_and_its_checkpoints_are_rotated_away(tmp_path):
    dated, run = old_layout(tmp_path), RunFolder(str(tmp_path))
    listed = (tmp_path / FOLDER / LISTED_BY_RAY).read_bytes()
    checkpoints = CheckpointFolder(run)
    checkpoints.settle(allow_older=False)
    checkpoints.save(saved(30), keep=2)
    assert names(run) == [dated[-1], "checkpoint_stage2_step00000030"]
    assert load_state(checkpoints.newest(), "abc").position == 30
    checkpoints.save(saved(40), keep=2)
    assert names(run) == ["checkpoint_stage2_step00000030", "checkpoint_stage2_step00000040"]
    assert (tmp_path / FOLDER / LISTED_BY_RAY).read_bytes() == listed  # Ray's, and left alone


def test_what_has_no_card_was_never_finished_and_goes(written, tmp_path):
    run, before = written
    half = tmp_path / FOLDER / "checkpoint_stage2_step00000030"
    save_state(RunFolder(str(half)), saved(30))
    (half / "state.json").unlink()
    checkpoints = CheckpointFolder(run)
    checkpoints.settle(allow_older=False)
    assert names(run) == before
    save_state(RunFolder(str(half)), saved(30))
    (half / "state.json").unlink()
    assert load_state(checkpoints.newest(), "abc").position == 20
    checkpoints.save(saved(30), keep=3)
    assert load_state(checkpoints.newest(), "abc").position == 30


class Killed(BaseException):
    """Stands for the moment at which a process is killed."""


@pytest.mark.parametrize("writes", [0, 1])
def test_killed_while_it_is_written_a_checkpoint_does_not_count(run, writes, monkeypatch):
    checkpoints = CheckpointFolder(run)
    checkpoints.settle(allow_older=False)
    checkpoints.save(saved(10), keep=2)
    write, done = RunFolder.write, []

    def dies(folder, name, content):
        if len(done) == writes:
            raise Killed
        done.append(name)
        write(folder, name, content)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "write", dies)
        with pytest.raises(Killed):
            checkpoints.save(saved(20), keep=2)
    assert load_state(checkpoints.newest(), "abc").position == 10
    checkpoints.settle(allow_older=False)
    assert names(run) == ["checkpoint_stage2_step00000010"]


def test_a_machine_that_does_not_see_the_folder_is_refused(tmp_path):
    new_layout(tmp_path)  # as a worker would find it that writes to a disk of its own
    with pytest.raises(ConfigError, match=r"does not see .* storage that all machines share"):
        CheckpointFolder(RunFolder(str(tmp_path))).newest()


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
def test_a_damaged_newest_is_named_with_the_one_before(written, tmp_path, harm, wrong):
    run, before = written
    harm(tmp_path / FOLDER / before[-1])
    checkpoints = CheckpointFolder(run)
    with pytest.raises(ConfigError, match=rf"{before[-1]} is damaged: {wrong}.*"):
        checkpoints.settle(allow_older=False)
    remedy = f"the one before is {before[-2]}; to continue from it: --allow-older-checkpoint"
    with pytest.raises(ConfigError, match=remedy):
        checkpoints.settle(allow_older=False)
    assert names(run) == before


@DAMAGES
def test_the_one_before_is_taken_when_that_is_allowed(written, tmp_path, capsys, harm, wrong):
    run, before = written
    harm(tmp_path / FOLDER / before[-1])
    checkpoints = CheckpointFolder(run)
    checkpoints.settle(allow_older=True)
    assert f"left out checkpoint {before[-1]}" in capsys.readouterr().out
    assert names(run) == before[:-1]
    assert load_state(checkpoints.newest(), "abc").position == 10


def test_without_a_whole_one_nothing_is_promised(written, tmp_path):
    run, before = written
    for name in before:
        truncate(tmp_path / FOLDER / name)
    for allow in (False, True):
        with pytest.raises(ConfigError, match="train again under another name"):
            CheckpointFolder(run).settle(allow_older=allow)


def test_damage_is_seen_at_a_url_too():
    folder = RunFolder("memory://damage/checkpoint")
    folder.write("state.pt", b"abc")
    folder.write("state.json", json.dumps({"bytes": 4, "sha256": "x"}))
    assert checkpoint_problem(folder) == "state.pt has 3 bytes, 4 were written"
