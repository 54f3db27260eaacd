import pytest

from sparta_ray.base.config import load
from sparta_ray.base.errors import ConfigError
from sparta_ray.run.estimate import step_bytes
from sparta_ray.run.memory import Memory, check_memory
from sparta_ray.run.settings import Run

GRID = (64, 32)
SMALL = (
    "model.width=0.05",
    "views={resize: [40, 36], crop: [36, 34]}",
    "sampling.rows_per_batch=15",
    "training.stages=[{kind: pretrain}, {kind: joint}]",
)


def test_the_largest_step_must_fit_for_all_workers_together():
    run = load(Run, None, [*SMALL, "scaling.num_workers=2"])
    needed = 2 * step_bytes(run, run.training.stages[1], GRID, 8)  # of 15 rows, 7 and 8
    check_memory(run, GRID, Memory(needed, 2, "this machine"))
    with pytest.raises(ConfigError) as error:
        check_memory(run, GRID, Memory(needed - 1, 2, "this machine"))
    message = str(error.value)
    assert message.startswith("stage joint needs at least 0.0 GB of memory for 2 workers with 8")
    assert "this machine has 0.0 GB; lower sampling.rows_per_batch" in message


def test_a_model_that_no_machine_holds_is_refused_in_words():
    run = load(Run, None, [*SMALL, "model.width=60", "model.embedding=60000"])
    with pytest.raises(ConfigError, match=r"needs at least \d[\d,.]+ GB of memory for a worker"):
        check_memory(run, GRID, Memory(24e9, 1, "this machine"))
