"""What stages cost, against counts by hand."""

import pytest

from sparta_ray.base.config import load
from sparta_ray.run.estimate import stage_costs, step_flop
from sparta_ray.run.settings import Run

DAYS, GRID = 23_386, (64, 32)
SMALL = "model.width=0.05", "views={resize: [40, 36], crop: [36, 34]}"


def run_of(*overrides):
    return load(Run, None, [*SMALL, *overrides])


@pytest.fixture(scope="module")
def costs():
    return {cost.stage: cost for cost in stage_costs(run_of(), DAYS, GRID)}


def test_steps_of_the_published_stages(costs):
    steps = {name: (cost.epochs, cost.steps, cost.rows) for name, cost in costs.items()}
    assert steps == {
        "pretrain": (100, 33_400, 126),
        "joint": (250, 83_500, 126),
        "decode": (200, 66_800, 126),
        "autoencoder": (180, 60_120, 126),
    }
    assert all(cost.flop == cost.steps * cost.step_flop > 0 for cost in costs.values())


def test_parameters_of_a_stage_are_its_models_and_those_it_trains(costs):
    pretrain, joint, decode, autoencoder = costs.values()
    assert pretrain.parameters == joint.parameters == decode.parameters
    assert pretrain.trained_parameters + decode.trained_parameters == joint.parameters
    assert joint.trained_parameters == joint.parameters
    assert autoencoder.trained_parameters == autoencoder.parameters < joint.parameters
    assert [cost.model for cost in costs.values()] == ["sparta"] * 3 + ["autoencoder"]


def test_operations_of_the_projection_by_hand():
    # Three views pass 1000 -> P -> P -> P, two pools of 2R rows are compared. An operation is a
    # product or a sum; the backward pass does each product twice more.
    def by_hand(rows, p):
        head = 3 * rows * (1000 * p + p * p + p * p)
        similarity = 2 * (2 * rows) ** 2 * p
        return 2 * 3 * (head + similarity)

    def counted(p):
        run = run_of(f"model.projection={p}", "sampling.rows_per_batch=12")
        return step_flop(run, run.training.stages[0], GRID)

    assert counted(16) - counted(6) == by_hand(12, 16) - by_hand(12, 6)
