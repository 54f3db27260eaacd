"""Several ranks compute what one does: the same losses, gradients, statistics and curves."""

from dataclasses import replace
from math import prod

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close

from sparta_ray.base.distributed import gather_objects, gather_rows, mean_over_ranks, world
from sparta_ray.base.folder import RunFolder
from sparta_ray.base.shares import rank_rows
from sparta_ray.data.batches.expand import Fields, Views
from sparta_ray.data.batches.view_operator import ViewOperator
from sparta_ray.data.plan.schedule import Schedule
from sparta_ray.data.plan.views import ViewConfig
from sparta_ray.losses.kinds import (
    AdjacentPositives,
    BarlowTwins,
    SoftContrastive,
    SupervisedContrastive,
)
from sparta_ray.models.attention_fusion import AttentionFusionConfig
from sparta_ray.models.graph_fusion import GraphFusionConfig
from sparta_ray.models.sparta import ModelConfig
from sparta_ray.training.accumulate import accumulate
from sparta_ray.training.batch_losses import seeded_losses
from sparta_ray.training.checkpoint import capture, load_state, restore, save_state
from sparta_ray.training.loop import StageLoop
from sparta_ray.training.plateau import PlateauConfig
from sparta_ray.training.stage_module import StageModule
from sparta_ray.training.stages import (
    AutoencoderStage,
    ContrastiveConfig,
    DecodeStage,
    JointStage,
    PretrainStage,
    build_model,
    model_kind,
)
from sparta_ray.training.state import StageState

pytestmark = pytest.mark.timeout(600)  # three processes start, on however few cores

V, GRID = 3, (64, 32)
VIEWS = ViewConfig(resize=(72, 40), crop=(68, 36), filter=3)
MODEL = ModelConfig(width=0.06, embedding=32, projection=32, decoder_dropout=0.2)
STAGES = {
    stage.kind: stage
    for stage in (PretrainStage(), JointStage(alpha_decay=0.3), DecodeStage(), AutoencoderStage())
}
ATTENTION = replace(MODEL, fusion=AttentionFusionConfig(heads=4))
GRAPH = replace(MODEL, fusion=GraphFusionConfig(edges=(("c", "a"),)))
VARIANTS = {
    "attention": (ATTENTION, ContrastiveConfig(loss=SupervisedContrastive())),
    "graph": (GRAPH, ContrastiveConfig(loss=SoftContrastive())),
    "barlow_twins": (MODEL, ContrastiveConfig(loss=BarlowTwins())),
    "adjacent": (MODEL, ContrastiveConfig(loss=AdjacentPositives())),
    "switches": (  # and area weights
        replace(MODEL, mask_channels=True, periodic="both"),
        ContrastiveConfig(cycle_normalise=True),
    ),
}
FUSIONS = {
    ("pretrain", "attention"): (ATTENTION, ContrastiveConfig()),
    ("decode", "graph"): (GRAPH, ContrastiveConfig()),
}
"""Late fusions in other stages; among `VARIANTS` they are in the joint one."""

AREA = torch.linspace(0.1, 1.9, GRID[1], dtype=torch.float64)
ROWS = (5, 8)  # neither divides by 2 and 3; of three ranks one has a single row of the five
SCHEDULE = Schedule(epochs=2, train_steps=10, validation_steps=1)
HALF = 8
"""Where a run is interrupted: within an epoch."""
CONTINUED = ("joint", "decode")  # between them all that a state holds; tests/faults has the rest


def module_of(kind, dtype):
    """Return the module of a stage, or that of the joint stage in a variant of the method.

    Biases keep channels away from the corner of ReLU: there rounding decides which way a gradient
    goes, and no two orders of adding agree for long.
    """
    torch.manual_seed(1)
    stage = STAGES.get(kind[0] if kind in FUSIONS else kind, STAGES["joint"])
    config, contrastive = (VARIANTS | FUSIONS).get(kind, (MODEL, ContrastiveConfig()))
    model = build_model(model_kind(stage), "abc", GRID, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.add_(0.3 * torch.randn(parameter.shape))
    area = AREA if kind == "switches" else None
    return StageModule(stage, model, contrastive, area).to(dtype)


def distributed(module):
    if world()[1] == 1:
        return module
    return DistributedDataParallel(module, broadcast_buffers=False)


def views_of(rows, channels=V):
    """Return this rank's rows of a float64 batch in which two rows miss values."""
    generator = torch.Generator().manual_seed(rows)
    mine = rank_rows(slice(0, rows), *world())

    def random(*size):
        return torch.randn(rows, *size, generator=generator, dtype=torch.float64)

    views = [random(channels, *VIEWS.crop)[mine] for _ in range(4)]
    fields = [random(V, *GRID) for _ in range(3)]
    for field in fields:
        field[0, 1, :9] = torch.nan
        field[2, 0] = torch.nan
    fields = [field[mine] for field in fields]
    gaps = any(bool(field.isnan().any()) for field in fields)
    labels = [torch.arange(rows)[mine] * 40, torch.arange(rows)[mine] % 4]
    return Views(*views, Fields(*fields, gaps=gaps), *labels)


def one_step(kind, rows):
    """Return the losses of a step in float64, its gradients, the state after, and validation."""
    module = module_of(kind, torch.float64)
    forward = distributed(module).train()
    views = views_of(rows, (VARIANTS | FUSIONS).get(kind, (MODEL,))[0].channels(V))
    torch.manual_seed(7)
    terms = forward(views, 2, rows)
    terms["loss"].backward()
    gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    with torch.no_grad():
        validation = forward.eval()(views, 2, rows)
    return {
        "terms": {name: value.detach() for name, value in terms.items()},
        "gradients": gradients,
        "buffers": dict(module.named_buffers()),
        "validation": validation,
    }


def one_step_in_parts(rows, parts):
    """Return what a decode step gives that takes each rank's rows in parts."""
    module = module_of("decode", torch.float64)
    forward = distributed(module).train()

    def losses(*arguments):
        return seeded_losses(forward, 7, "float64", *arguments)

    terms = accumulate(losses, forward, views_of(rows), 2, rows, parts)
    gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    return {"terms": terms, "gradients": gradients}


def compact_batch(position, precision):
    """Return this rank's rows of a made-up compact batch of waves; an epoch's last is short."""
    rng = np.random.default_rng(position)
    rows = 4 if position % SCHEDULE.epoch_length == SCHEDULE.train_steps - 1 else 7
    longitude = np.linspace(0, 2 * np.pi, GRID[0], endpoint=False)[:, None]
    phase = rng.uniform(0, 2 * np.pi, (rows, V, 1, 1))
    waves = rng.integers(1, 4, (rows, V, 1, 1)) * longitude + phase
    tilt = np.linspace(-1, 1, GRID[1]) * np.sin(phase)
    bits = -(-V * prod(VIEWS.crop) // 8)
    batch = {
        "crop": rng.integers(0, VIEWS.crop_positions, (rows, 3, 2)).astype(np.int16),
        "neighbour_masks": rng.integers(0, 256, (rows, 2, bits), dtype=np.uint8),
        "input_mask": rng.integers(0, 256, (rows, bits), dtype=np.uint8),
        "position": np.full(rows, position),
        "global_rows": np.full(rows, rows),
    }
    for name, shift in (("day", 0.0), ("after", 0.2), ("before", -0.2)):
        noise = 0.1 * rng.standard_normal((rows, V, *GRID))
        batch[name] = (np.cos(waves + shift) + tilt + noise).astype(precision)
    mine = rank_rows(slice(0, rows), *world())
    return {name: part[mine] for name, part in batch.items()}


def curve(kind, precision, lr, saved=None, stop_at=None):
    """Return the losses of two short epochs, what they report, and the statistics after them.

    Args:
        kind: Of the stage.
        precision: Of weights and batches.
        lr: Learning rate.
        saved: A folder with the checkpoint to begin with.
        stop_at: The step to end at.
    """
    dtype = getattr(torch, precision)
    module, steps, epochs = module_of(kind, dtype), [], []
    loop = StageLoop(
        schedule=SCHEDULE,
        operator=ViewOperator(GRID, VIEWS).to(dtype),
        seed=3,
        precision="float32",
        probe_batch=compact_batch(10, precision),
        on_step=lambda report: steps.append(float(report.terms["loss"])),
        on_epoch=lambda _, report: epochs.append(report),
        after_step=lambda state, _: state.position == stop_at,
    )
    state = StageState.start(module, lr, PlateauConfig())
    if saved is not None:
        restore(state, load_state(RunFolder(saved), "data"))
    positions = range(state.position, len(SCHEDULE))
    loop.run(
        state, distributed(module), (compact_batch(position, precision) for position in positions)
    )
    return {
        "state": state,
        "losses": steps,
        "epochs": [
            {**epoch.losses, "gradient": epoch.gradient_norm, **epoch.health} for epoch in epochs
        ],
        "buffers": dict(module.named_buffers()),
    }


def interrupt(folder):
    """Leave the checkpoints of one process's runs that end half-way."""
    for kind in CONTINUED:
        state = curve(kind, "float64", 1e-3, stop_at=HALF)["state"]
        save_state(RunFolder(f"{folder}/{kind}"), capture(state, 0, "data", "float64"))


def continued(kind, folder):
    """Return the losses of a run that one process began, from where it was interrupted."""
    return curve(kind, "float64", 1e-3, saved=f"{folder}/{kind}")["losses"]


def joined():
    """Return what the joins of the ranks make of numbers that tell the ranks apart."""
    rank, ranks = world()
    rows = rank_rows(slice(0, 5), rank, ranks)
    x = torch.arange(10.0).reshape(5, 2)[rows].requires_grad_()
    every = gather_rows(x, 5)
    (every * torch.arange(5.0)[:, None]).sum().backward()
    return {
        "rows": every.detach(),
        "mean": mean_over_ranks(torch.arange(5.0)[rows]),
        "objects": gather_objects(rank),
        # as DDP averages: each row's gradient is its own weight
        "gradients": gather_rows(x.grad / ranks, 5),
    }


def everything(folder):
    float32 = {kind: curve(kind, "float32", 1e-5) for kind in STAGES}
    float64 = curve("joint", "float64", 1e-3)
    for each in (*float32.values(), float64):
        del each["state"]
    return {
        "joined": joined(),
        "steps": {
            (kind, rows): one_step(kind, rows)
            for kind in [*STAGES, *VARIANTS, *FUSIONS]
            for rows in ROWS
        },
        "parts": {rows: one_step_in_parts(rows, 3) for rows in ROWS},
        # At a larger rate one process strays by per cents if its weights change by a rounding.
        "curves": float32,
        "float64 curve": float64,
        "continued": {kind: continued(kind, folder) for kind in CONTINUED},
    }


def run_rank(rank, folder):
    """Compute everything as one of three ranks, then of two; runs in a process of its own."""
    torch.set_num_threads(1)
    for ranks in (3, 2):
        if rank < ranks:
            meeting = f"file://{folder}/meeting-{ranks}"
            dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=ranks)
            result = everything(folder)
            torch.save(result, f"{folder}/{ranks}-{rank}.pt")
            dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What one process computes under 1, and what each of 2 and 3 ranks does."""
    folder = tmp_path_factory.mktemp("ranks")
    interrupt(folder)
    processes = torch.multiprocessing.spawn(run_rank, (str(folder),), nprocs=3, join=False)
    alone = everything(folder)
    alone["whole"] = {kind: curve(kind, "float64", 1e-3)["losses"] for kind in CONTINUED}
    while not processes.join():
        pass
    return {1: [alone]} | {
        ranks: [
            torch.load(folder / f"{ranks}-{rank}.pt", weights_only=False) for rank in range(ranks)
        ]
        for ranks in (2, 3)
    }


SEVERAL = pytest.mark.parametrize("ranks", [2, 3])
EVERY_STAGE = pytest.mark.parametrize("kind", list(STAGES))


@SEVERAL
@pytest.mark.parametrize("kind", [*STAGES, *VARIANTS, *FUSIONS], ids=str)
@pytest.mark.parametrize("rows", ROWS)
def test_losses_gradients_and_statistics_of_a_step(results, ranks, kind, rows):
    expected = results[1][0]["steps"][kind, rows]
    for result in results[ranks]:
        got = result["steps"][kind, rows]
        for part in ("terms", "validation", "buffers"):
            assert_close(got[part], expected[part], rtol=1e-6, atol=1e-12)
        assert got["gradients"].keys() == expected["gradients"].keys()
        whole = torch.cat([g.flatten() for g in expected["gradients"].values()]).norm()
        for name, gradient in expected["gradients"].items():
            error = (got["gradients"][name] - gradient).norm()
            assert error <= 1e-5 * gradient.norm() + 1e-12 * whole, name


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("rows", ROWS)
def test_a_batch_taken_in_parts_on_every_rank(results, ranks, rows):
    expected = results[1][0]["steps"]["decode", rows]
    for result in results[ranks]:
        got = result["parts"][rows]
        assert_close(got["terms"], expected["terms"], rtol=1e-6, atol=1e-12)
        assert_close(got["gradients"], expected["gradients"], rtol=1e-5, atol=1e-10)


@SEVERAL
@EVERY_STAGE
def test_a_loss_curve_in_float32(results, ranks, kind):
    expected = results[1][0]["curves"][kind]
    for result in results[ranks]:
        got = result["curves"][kind]
        assert got["losses"] == pytest.approx(expected["losses"], rel=1e-4)
        assert len(got["losses"]) == 22
        assert_close(got["buffers"], expected["buffers"], rtol=1e-4, atol=1e-5)


@SEVERAL
def test_a_loss_curve_in_float64_and_what_its_epochs_report(results, ranks):
    expected = results[1][0]["float64 curve"]
    assert expected["losses"][-1] < 0.9 * expected["losses"][0]
    for result in results[ranks]:
        got = result["float64 curve"]
        assert got["losses"] == pytest.approx(expected["losses"], rel=1e-6)
        assert_close(got["buffers"], expected["buffers"], rtol=1e-6, atol=1e-9)
        for ours, theirs in zip(got["epochs"], expected["epochs"], strict=True):
            assert ours == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("kind", CONTINUED)
def test_a_run_of_one_process_continues_exactly(results, kind):
    assert results[1][0]["continued"][kind] == results[1][0]["whole"][kind][HALF:]


@SEVERAL
@pytest.mark.parametrize("kind", CONTINUED)
def test_a_run_of_one_process_continues_on_several_ranks(results, ranks, kind):
    whole = results[1][0]["whole"][kind]
    for result in results[ranks]:
        assert result["continued"][kind] == pytest.approx(whole[HALF:], rel=1e-5)


@SEVERAL
def test_the_joins(results, ranks):
    for result in results[ranks]:
        joins = result["joined"]
        assert_close(joins["rows"], torch.arange(10.0).reshape(5, 2))
        assert_close(joins["mean"], torch.tensor(2.0))
        assert joins["objects"] == list(range(ranks))
        assert_close(joins["gradients"], torch.arange(5.0)[:, None].expand(5, 2))


@SEVERAL
def test_all_ranks_report_the_same(results, ranks):
    first, *others = results[ranks]
    for other in others:
        for kind in STAGES:
            assert other["curves"][kind]["losses"] == first["curves"][kind]["losses"]
