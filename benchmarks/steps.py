"""Training steps: what precision and the direct loss bring, and what expansion costs."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch.optim import Adam

from benchmarks.apart import Apart
from benchmarks.harness import Row, Setting, side_by_side
from benchmarks.plain import plain_nt_xent
from benchmarks.sample import JOINT, Sample, sample
from sparta_ray.data.batches.compact import CompactBatch
from sparta_ray.data.batches.expand import Views, expand, to_device
from sparta_ray.losses.cycle import cycle_consistency
from sparta_ray.models.sparta import ModelConfig, Sparta
from sparta_ray.on_ray.train import KEEPS_MEMORY
from sparta_ray.training.batch_losses import batch_losses
from sparta_ray.training.finite import unchanged_unless
from sparta_ray.training.precision import Precision, resolve_precision
from sparta_ray.training.stage_module import StageModule
from sparta_ray.training.stages import (
    ContrastiveConfig,
    DecodeStage,
    JointStage,
    PretrainStage,
    StageConfig,
    needs,
)

CPU = torch.device("cpu")


def measure(setting: Setting) -> Iterator[Row]:
    """Compare stage 1 with the same network under the plain loss; weigh the expansion."""
    s = sample(setting)
    precisions: list[tuple[Precision, float]] = [("float32", 1.12)]
    if not setting.quick and resolve_precision("auto", CPU) == "bfloat16":
        precisions.append(("bfloat16", 1.9))
    with Apart(partial(_plain_step, s), {}) as plain:
        for precision, least in precisions:
            # Each in a process of its own, ours with a training worker's environment.
            with Apart(partial(_step, s, PretrainStage(), precision), KEEPS_MEMORY) as ours:
                pair = side_by_side(
                    ours,
                    plain,
                    setting.few,
                    lambda ours=ours: ours.seconds + plain.seconds,  # type: ignore[misc]
                )
            yield Row(
                f"stage-1 step in {precision}, its expansion included", "s", pair.ours, pair.plain,
                pair.ratio, f"≥ {least}", pair.ratio >= least,
            )  # fmt: skip
    for stage in (PretrainStage(), JointStage(), DecodeStage()):
        batch = batch_of(s, stage)
        pair = side_by_side(
            lambda batch=batch: expand(to_device(batch, CPU), s.operator),  # type: ignore[misc]
            _step(s, stage, precisions[-1][0]),
            setting.few,
        )
        share = 100 * pair.ours / pair.plain
        yield Row(f"expansion's share of a {stage.kind} step in {precisions[-1][0]}", "%", share,
                  target="< 3 %", reached=share < 3)  # fmt: skip

    yield _guard_share(s, setting)


def _guard_share(s: Sample, setting: Setting) -> Row:
    """Weigh what keeps weights unchanged by a step that is not finite, against the whole step."""
    model = model_of(s)
    optimiser = Adam(model.parameters(), lr=1e-4)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)

    def guard() -> None:
        with torch.no_grad(), unchanged_unless(torch.tensor(True), optimiser):
            pass

    pair = side_by_side(guard, _step(s, PretrainStage(), "float32"), setting.few)
    share = 100 * pair.ours / pair.plain
    return Row("share of a stage-1 step in float32 that guards its weights", "%", share,
               target="< 1 %", reached=share < 1)  # fmt: skip


def batch_of(s: Sample, stage: StageConfig) -> CompactBatch:
    """Return the first batch as a stage of one rank gets it."""
    batch = s.batch(needs(stage, ContrastiveConfig()))
    rows = torch.full((len(batch["day"]),), len(batch["day"])).numpy()
    return {"position": 0 * rows, "global_rows": rows, **batch}


def _step(s: Sample, stage: StageConfig, precision: Precision) -> Callable[[], None]:
    module = StageModule(stage, model_of(s), ContrastiveConfig()).train()
    optimiser = Adam([p for p in module.parameters() if p.requires_grad], lr=1e-4)
    batch = batch_of(s, stage)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        losses = batch_losses(module, s.operator, batch, 0, 0, precision)
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return step


def _plain_step(s: Sample) -> Callable[[], None]:
    """Return a stage-1 step in float32 with the plain loss, on views that are ready."""
    model = model_of(s).train()
    parts = [*model.encoder.parameters(), *model.projector.parameters()]
    return partial(
        _take_plain_step,
        model,
        Adam(parts, lr=1e-4),
        expand(to_device(s.batch(JOINT), CPU), s.operator),
    )


def _take_plain_step(model: Sparta, optimiser: Adam, views: Views) -> None:
    optimiser.zero_grad(set_to_none=True)
    assert views.anchor is not None
    assert views.after is not None
    assert views.before is not None
    h_BD, z_BP = model.project(views.anchor)
    h_after_BD, z_after_BP = model.project(views.after)
    h_before_BD, z_before_BP = model.project(views.before)
    loss = plain_nt_xent(z_BP, z_after_BP, 0.3) + plain_nt_xent(z_BP, z_before_BP, 0.3)
    (loss + cycle_consistency(h_before_BD, h_BD, h_after_BD)).backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def model_of(s: Sample) -> Sparta:
    """Return a model of published sizes, or a tiny one where the setting is quick."""
    config = ModelConfig(width=0.05, embedding=20) if s.quick else ModelConfig()
    return Sparta(s.store.variables, s.store.grid, config)
