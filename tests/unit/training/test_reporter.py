import pytest
import torch

from sparta_ray.data.schedule import Schedule
from sparta_ray.run_folder import RunFolder
from sparta_ray.training.loop import EpochReport, StepReport
from sparta_ray.training.reporter import HISTORY, StageReporter

SCHEDULE = Schedule(epochs=2, train_steps=3, validation_steps=1)


@pytest.fixture
def reported(tmp_path):
    """Return a function that reports every step, and gives the lines shown and the records."""

    def reported(every):
        lines = []
        folder = RunFolder(str(tmp_path / str(every)))
        reporter = StageReporter(
            folder, lambda *line: lines.append(line), "joint", "train 2/4 joint", SCHEDULE, every
        )
        for position in range(8):
            terms = {"loss": torch.tensor(2.5 - position), "cycle": torch.tensor(0.25)}
            unit = SCHEDULE.unit_at(position)
            reporter.step(StepReport(unit, position + 1, 12, terms, 0.5, 2.0))
        reporter.epoch(EpochReport(1, 1e-4, {"train_loss": 0.5, "validation_loss": 0.75}))
        return lines, folder.read_records(HISTORY)

    return reported


def test_every_step_when_asked_for(reported):
    lines, records = reported(every=0.0)
    assert [line[:3] for line in lines] == [("train 2/4 joint", n, 8) for n in range(1, 9)]
    assert lines[0][3] == "epoch 1/2 loss 2.5 cycle 0.25 | wait 25% 6 rows/s eta 00:14"
    assert lines[3][3].startswith("epoch 1/2 (validation) loss -0.5 ")
    assert len(records) == 9
    first = {"stage": "joint", "event": "step", "position": 1, "split": "train", "epoch": 0}
    first |= {"rows_per_second": 6.0, "wait_share": 0.25, "loss": 2.5, "cycle": 0.25}
    assert first.items() <= records[0].items()
    last = {"event": "epoch", "epoch": 1, "lr": 1e-4, "train_loss": 0.5, "validation_loss": 0.75}
    assert last.items() <= records[-1].items()


def test_seldom_but_always_at_the_end(reported):
    lines, records = reported(every=1e6)
    assert [line[1] for line in lines] == [8]
    assert lines[0][3].endswith("wait 25% 6 rows/s eta 00:00")
    assert [record["event"] for record in records] == ["step", "epoch"]
