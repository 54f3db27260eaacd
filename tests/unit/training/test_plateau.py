import pytest
import torch

from sparta_ray.training.plateau import PlateauConfig, plateau_schedule


def rates(losses, config):
    """Return the learning rate after each epoch's validation loss."""
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = plateau_schedule(optimiser, config)
    seen = []
    for loss in losses:
        schedule.step(loss)
        seen.append(optimiser.param_groups[0]["lr"])
    return seen


def test_published_patience():
    seen = rates([5.0] + [5.0] * 22, PlateauConfig())
    assert seen[:11] == [1.0] * 11  # the best, and ten epochs waited for
    assert seen[11:22] == pytest.approx([0.1] * 11)
    assert seen[22] == pytest.approx(0.01)


def test_an_improvement_starts_the_wait_anew():
    seen = rates([5.0, 5.0, 5.0, 4.0, 4.0, 4.0, 4.0], PlateauConfig(patience=2, factor=0.5))
    assert seen == [1, 1, 1, 1, 1, 1, 0.5]


def test_an_improvement_must_exceed_the_relative_threshold():
    config = PlateauConfig(patience=0)
    assert rates([1000.0, 999.95], config) == pytest.approx([1, 0.1])
    assert rates([1000.0, 999.85], config) == [1, 1]
