import pytest
import torch

from sparta_ray.base.folder import RunFolder
from sparta_ray.data.plan.schedule import Schedule
from sparta_ray.training.health import HealthConfig
from sparta_ray.training.reporter import HISTORY, StageReporter
from sparta_ray.training.step_report import EpochReport, StepReport

SCHEDULE = Schedule(epochs=2, train_steps=3, validation_steps=1)


@pytest.fixture
def reported(tmp_path):
    """Return a function that reports every step, and gives the lines shown and the records."""

    def reported(every):
        lines = []
        folder = RunFolder(str(tmp_path / str(every)))
        reporter = StageReporter(
            folder, lambda *line: lines.append(line), "joint", "train 2/4 joint", SCHEDULE,
            HealthConfig(), every,
        )  # fmt: skip
        for position in range(8):
            terms = {"loss": torch.tensor(2.5 - position), "cycle": torch.tensor(0.25)}
            unit = SCHEDULE.batch_at(position)
            norm = torch.tensor(1.5) if unit.split == "train" else None
            seconds = {"wait": 0.5, "forward": 0.75, "backward": 0.75}
            reporter.step(StepReport(unit, position + 1, 12, terms, norm, seconds, lambda: True))
        losses = {"train_loss": 0.5, "validation_loss": 0.75}
        for epoch in (1, 2):
            rank = {"embedding_effective_rank": 2.5 / epoch}
            reporter.epoch(EpochReport(epoch, 1e-4, losses, 0.25, rank))
        return lines, folder.read_records(HISTORY)

    return reported


def test_a_step_that_is_not_finite_leaves_no_line_and_no_record(tmp_path):
    lines, folder = [], RunFolder(str(tmp_path))
    reporter = StageReporter(
        folder, lambda *line: lines.append(line), "joint", "joint", SCHEDULE, HealthConfig(), 0.0
    )
    terms = {"loss": torch.tensor(float("nan"))}
    reporter.step(StepReport(SCHEDULE.batch_at(0), 1, 12, terms, None, {}, lambda: False))
    assert (lines, folder.read_records(HISTORY)) == ([], [])


def test_every_step_when_asked_for(reported):
    lines, records = reported(every=0.0)
    *lines, warning = lines
    assert [line[:3] for line in lines] == [("train 2/4 joint", n, 8) for n in range(1, 9)]
    assert lines[0][3] == "epoch 1/2 loss 2.5 cycle 0.25 | wait 25% 6 rows/s eta 00:14"
    assert lines[3][3].startswith("epoch 1/2 (validation) loss -0.5 ")
    assert len(records) == 12
    first = {"stage": "joint", "event": "step", "position": 1, "split": "train", "epoch": 0}
    first |= {"rows_per_second": 6.0, "wait_share": 0.25, "loss": 2.5, "cycle": 0.25}
    first |= {"expand_share": 0, "forward_share": 0.375, "optimiser_share": 0, "report_share": 0}
    assert (first | {"gradient_norm": 1.5}).items() <= records[0].items()
    assert "gradient_norm" not in records[3]
    last = {"event": "epoch", "epoch": 1, "lr": 1e-4, "train_loss": 0.5, "validation_loss": 0.75}
    assert (last | {"gradient_norm": 0.25}).items() <= records[8].items()
    health = {"event": "health", "epoch": 1, "embedding_effective_rank": 2.5}
    assert health.items() <= records[9].items()
    assert warning == (
        "warning: train 2/4 joint, epoch", 3, 2,
        "the embeddings collapse: embedding effective rank 1.25 is below 2",
    )  # fmt: skip


def test_seldom_but_always_at_the_end(reported):
    lines, records = reported(every=1e6)
    assert [line[1] for line in lines] == [8, 3]
    assert lines[0][3].endswith("wait 25% 6 rows/s eta 00:00")
    assert [record["event"] for record in records] == ["step", *("epoch", "health") * 2]
