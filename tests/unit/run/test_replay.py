import numpy as np
import pytest
import torch

from sparta_ray.base.config import load, to_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.data.batches.compact import CompactBatch
from sparta_ray.run.replay import Failure, join_rows, replay
from sparta_ray.run.settings import Run
from sparta_ray.training.stages import build_model

SETTINGS = [
    "model.width=0.05", "model.embedding=12", "model.projection=6",
    "views.resize=[40, 36]", "views.crop=[36, 34]",
]  # fmt: skip
ROWS = 4


def batch_of(run) -> CompactBatch:
    rng = np.random.default_rng(0)
    variables = len(run.data.variables)
    bits = -(-variables * 36 * 34 // 8)
    return {
        **{
            name: rng.standard_normal((ROWS, variables, 64, 32), dtype=np.float32)
            for name in ("day", "after", "before")
        },
        "crop": np.zeros((ROWS, 3, 2), dtype=np.int16),
        "neighbour_masks": rng.integers(0, 256, (ROWS, 2, bits), dtype=np.uint8),
        "input_mask": rng.integers(0, 256, (ROWS, bits), dtype=np.uint8),
        "position": np.full(ROWS, 6),
        "global_rows": np.full(ROWS, ROWS),
    }


@pytest.fixture
def failure_of(tmp_path):
    """Return a function that keeps a step of stage 2, damaged, and reads it again."""

    def failure_of(damage, *overrides):
        run = load(Run, None, [*SETTINGS, *overrides])
        torch.manual_seed(0)
        model = build_model("sparta", run.data.variables, (64, 32), run.model)
        batch = batch_of(run)
        damage(model, batch)
        parts = [{name: part[rows] for name, part in batch.items()} for rows in ([0], [1, 2, 3])]
        days = [f"1979-01-0{day}" for day in range(1, 5)]
        failure = Failure(
            "the loss is nan", to_tree(run), 1, 0, True, 5, "float32", days,
            np.linspace(-87, 87, 32).tolist(), model.state_dict(), join_rows(parts),
        )  # fmt: skip
        path = tmp_path / "step6.pt"
        path.write_bytes(failure.to_bytes())
        return Failure.read(str(path))

    return failure_of


def test_a_sound_step_is_done_again_and_nothing_is_found(failure_of):
    lines = list(replay(failure_of(lambda model, batch: None)))
    assert lines[0] == "the loss is nan"
    assert "first layer whose output is not finite: none" in lines
    assert lines[-1] == "parameters whose gradient is not finite: none"
    assert any(line.startswith("loss nt_xent: ") for line in lines)


def test_area_weights_weigh_the_losses_that_are_done_again(failure_of):
    shown = {}
    for weights in ("true", "false"):
        failure = failure_of(lambda model, batch: None, f"training.area_weights={weights}")
        lines = [line.split(": ") for line in replay(failure) if line.startswith("loss ")]
        shown[weights] = {name: float(value) for name, value in lines}
    weighted, alike = shown["true"], shown["false"]
    for name in ("loss reconstruction", "loss neighbour_reconstruction"):
        assert weighted[name] != pytest.approx(alike[name], rel=1e-4)
    assert weighted["loss nt_xent"] == alike["loss nt_xent"]


def test_it_finds_the_broken_layer(failure_of):
    def damage(model, batch):
        with torch.no_grad():
            model.projector.layers[3].weight[2, 1] = torch.inf

    lines = list(replay(failure_of(damage)))
    assert "first layer whose output is not finite: projector.layers.3" in lines
    assert "loss loss: nan" in lines


def test_it_finds_the_broken_row_and_its_date(failure_of):
    def damage(model, batch):
        batch["after"][2, 1, 5, 5] = np.inf

    lines = list(replay(failure_of(damage)))
    after = next(line for line in lines if line.startswith("after: "))
    assert after.startswith("after: largest value inf standard deviations, in row 2 (1979-01-03)")


def test_half_precision_may_be_asked_for(failure_of):
    failure = failure_of(lambda model, batch: None)
    assert list(replay(failure, "bfloat16")) != list(replay(failure))


def test_a_file_that_is_not_there():
    with pytest.raises(ConfigError, match=r"no failed step at nowhere\.pt; the run's error names"):
        Failure.read("nowhere.pt")


def test_a_file_of_something_else(tmp_path):
    other = tmp_path / "other.pt"
    for content in (b"", b"nothing of use", b"PK" + bytes(40)):
        other.write_bytes(content)
        with pytest.raises(ConfigError, match="not a failed step"):
            Failure.read(str(other))
