"""Parts of an evaluation as tasks under Ray: one fails, a process is killed, the rest is kept."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sparta_ray.base.folder import RunFolder
from sparta_ray.evaluation.results import load_results
from sparta_ray.on_ray.evaluate import evaluate_on_ray
from sparta_ray.run.ownership import claim
from sparta_ray.run.settings import Run
from sparta_ray.run.trial import save_trial
from sparta_ray.studies.evaluation import evaluate_runs
from sparta_ray.tasks.evaluate import Evaluation
from sparta_ray.tasks.trials import fresh_model, trials
from tests.processes import descendants


@pytest.fixture
def with_trials(with_models: Run) -> Run:
    """A run whose tasks' models are there too, and that evaluates two parts at a time."""
    run = replace(with_models, downstream=replace(with_models.downstream, max_concurrent=2))
    claim(RunFolder(run.path), run, "tiny")
    for trial in trials(run):
        save_trial(RunFolder(run.path), trial, fresh_model(run, trial))
    return run


def written(run: Run) -> dict[str, int]:
    parts = Path(run.path, "evaluation/parts")
    return {file.parent.name: file.stat().st_mtime_ns for file in parts.glob("*/scores.json")}


@contextmanager
def killing_a_process(run: Run) -> Iterator[list[int]]:
    """Kill one of the processes that score as soon as a part is written."""
    killed: list[int] = []

    def kill() -> None:
        while not written(run):
            time.sleep(0.05)
        killed.append(descendants(os.getpid(), "ray::_Scorer")[0])
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    yield killed
    thread.join()


@pytest.mark.timeout(360)
def test_a_failing_part_is_named_the_others_are_kept_and_the_next_run_does_the_rest(
    with_trials: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run, folder = with_trials, RunFolder(with_trials.path)
    failing = next(trial for trial in trials(run) if trial.task == "diffusion")
    weights = Path(run.path, failing.weights_file)
    sound = weights.read_bytes()
    weights.write_bytes(b"nothing of use")
    with killing_a_process(run) as killed, pytest.raises(RuntimeError) as error:
        evaluate_on_ray(run)
    assert len(killed) == 1
    assert f"  {failing.name}: " in str(error.value)
    assert len(str(error.value).splitlines()) == 2
    assert "Traceback" in folder.read(f"evaluation/parts/{failing.name}-error.txt")
    assert not folder.exists("evaluation/scores.json")
    before, parts = written(run), [part.name for part in Evaluation(run).parts]
    assert set(parts) - set(before) == {failing.name}

    weights.write_bytes(sound)
    capsys.readouterr()
    evaluate_on_ray(run)
    first, last = capsys.readouterr().out.splitlines()
    assert first == f"evaluate {len(parts) - 1}/{len(parts)} {failing.name}"
    assert last.startswith(f"evaluate {len(parts)}/{len(parts)} done in ")
    assert {name: written(run)[name] for name in before} == before
    assert not folder.exists(f"evaluation/parts/{failing.name}-error.txt")
    record = json.loads(folder.read("evaluation/scores.json"))
    assert list(record["parts"]) == parts
    tasks = {score.task for score in load_results(folder).scores}
    assert tasks >= {"reconstruction", "forecast", "diffusion", "classification", "latent space"}


@pytest.mark.timeout(360)
def test_runs_of_a_study_are_evaluated_together_and_each_has_its_own_failure(
    with_trials: Run, tmp_path: Path
) -> None:
    bare = {"forecast": {}, "diffusion": None}
    one, other, unfinished = (
        replace(with_trials, name=name, downstream=replace(with_trials.downstream, **bare))
        for name in ("one", "other", "unfinished")
    )
    for run in (one, other, unfinished):
        Path(run.path).mkdir()
        Path(run.path, "models").symlink_to(f"{with_trials.path}/models")
    for run in (one, other):
        Path(run.path, "downstream").symlink_to(f"{with_trials.path}/downstream")
    broken = Path(other.path, "models")
    broken.unlink()
    broken.mkdir()
    for kind in other.models:
        (broken / kind).mkdir()
        for file in Path(with_trials.path, "models", kind).iterdir():
            (broken / kind / file.name).write_bytes(file.read_bytes())
    (broken / "autoencoder/weights.safetensors").write_bytes(b"nothing of use")

    failures = evaluate_runs([one, other, unfinished])
    assert set(failures) == {"other", "unfinished"}
    assert "2 downstream trials are not finished" in failures["unfinished"].reason
    assert "evaluate pairs-autoencoder: ConfigError: " in failures["other"].reason
    assert "pairs-sparta" not in failures["other"].reason
    assert "pairs-sparta" in written(other)
    assert Evaluation(one).is_done()
