"""What stages cost, against counts by hand."""

import pytest
import torch

from sparta_ray.base.config import load
from sparta_ray.run.estimate import example_step, stage_costs, step_bytes, step_flop
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


@pytest.mark.parametrize("stage", range(4))
def test_memory_of_a_step_is_what_a_real_one_keeps(stage):
    """Counted without values, and summed over the storages that a real step holds on to."""
    run, rows = run_of(), 6
    module, views = example_step(run, run.training.stages[stage], GRID, rows)
    held = {}

    def hold(tensor):
        storage = tensor.untyped_storage()
        held[storage.data_ptr()] = storage.nbytes()
        return tensor

    fields = views.fields
    weights = [*module.parameters(), *module.buffers()]
    seen = (views.anchor, views.after, views.before, views.input)
    for tensor in (*weights, *seen, fields.day, fields.after, fields.before):
        if tensor is not None:
            hold(tensor)
    with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
        terms = module.train()(views, epoch=0, rows=rows)
    assert terms["loss"].requires_grad
    trained = sum(4 * weight.numel() for weight in weights if weight.requires_grad)
    expected = sum(held.values()) + 3 * trained
    assert step_bytes(run, run.training.stages[stage], GRID, rows) == pytest.approx(
        expected, rel=0.02
    )


def test_memory_grows_with_the_rows():
    run = run_of()
    few, many = (step_bytes(run, run.training.stages[1], GRID, rows) for rows in (6, 12))
    assert 1.5 < many / few < 2
