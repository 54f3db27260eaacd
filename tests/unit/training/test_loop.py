import itertools
from dataclasses import replace

import pytest
import torch

from benchmarks.readbacks import ReadBacks
from sparta_ray.base.folder import RunFolder
from sparta_ray.data.batches.builder import BatchBuilder, BatchRecipe
from sparta_ray.data.batches.view_operator import ViewOperator
from sparta_ray.data.plan.masking import MaskConfig
from sparta_ray.data.plan.sampling import SamplingConfig, batches_per_epoch
from sparta_ray.data.plan.schedule import Schedule
from sparta_ray.data.plan.splits import Split
from sparta_ray.data.plan.views import ViewConfig
from sparta_ray.data.store.store import Store
from sparta_ray.models.dropout import RowDropout
from sparta_ray.models.sparta import ModelConfig
from sparta_ray.training.checkpoint import capture, load_state, restore, save_state
from sparta_ray.training.finite import NonFiniteError
from sparta_ray.training.loop import StageLoop
from sparta_ray.training.plateau import PlateauConfig
from sparta_ray.training.precision import weights_type
from sparta_ray.training.stage_module import StageModule
from sparta_ray.training.stages import (
    ContrastiveConfig,
    DecodeStage,
    JointStage,
    PretrainStage,
    build_model,
    needs,
)
from sparta_ray.training.state import StageState
from sparta_ray.training.timing import PARTS

VIEWS = ViewConfig(resize=(40, 22), crop=(36, 20), filter=3)
SAMPLING = SamplingConfig(
    rows_per_batch=12, max_neighbour_days=2, hard_days=(3, 9), min_soft_days=7
)
MODEL = ModelConfig(width=0.15, embedding=16, projection=8, decoder_dropout=0.1)
SPLITS = {"train": Split(0, 26), "validation": Split(26, 46)}
EPOCHS = 3
STEPS = 10  # of an epoch: 6 to train, the last with 6 rows, and 4 to validate
JOINT = JointStage(epochs=EPOCHS, lr=3e-3, alpha_decay=0.2)


@pytest.fixture(scope="module")
def path(make_store):
    return make_store(days=46, grid=(64, 32), training_days=26)


class Training:
    """One stage on a tiny store, its state and all that it reported."""

    def __init__(self, path, stage, precision="float32", plateau=None):
        schedule = Schedule(
            stage.epochs, *(batches_per_epoch(split, SAMPLING) for split in SPLITS.values())
        )
        self.recipe = BatchRecipe(
            path, SPLITS, SAMPLING, VIEWS, MaskConfig(), 5, schedule,
            needs(stage, ContrastiveConfig()),
        )  # fmt: skip
        torch.manual_seed(1)
        model = build_model("sparta", "abc", (64, 32), MODEL)
        dtype = weights_type(precision)
        module = StageModule(stage, model, ContrastiveConfig()).to(dtype)
        self.state = StageState.start(module, stage.lr, plateau or PlateauConfig())
        self.steps, self.epochs, self.saved = [], [], []
        self.loop = StageLoop(
            schedule=schedule,
            operator=ViewOperator(Store(path).grid, VIEWS).to(dtype),
            seed=5,
            precision=precision,
            probe_batch=BatchBuilder(self.recipe).build(schedule.train_steps),
            on_step=self.steps.append,
            on_epoch=self._end_epoch,
        )

    def run(self, batches=None):
        start, builder = self.state.position, BatchBuilder(self.recipe)
        units = range(start, len(self.recipe.schedule))
        self.loop.run(self.state, self.state.module, map(builder.build, units[:batches]))
        return self

    def _end_epoch(self, state, report):
        self.epochs.append(report)
        self.saved.append(state.position)

    @property
    def losses(self):
        return [float(report.terms["loss"]) for report in self.steps]


@pytest.fixture(scope="module")
def unbroken(path):
    return Training(path, JOINT).run()


def test_training_lowers_the_loss(unbroken):
    first, last = unbroken.epochs[0].losses, unbroken.epochs[-1].losses
    assert last["train_loss"] < 0.9 * first["train_loss"]
    assert last["validation_reconstruction"] < first["validation_reconstruction"]


def test_epochs_report_means_by_rows_over_every_batch(unbroken):
    schedule = unbroken.recipe.schedule
    assert (schedule.train_steps, schedule.validation_steps) == (6, 4)
    assert [step.position for step in unbroken.steps] == list(range(1, len(schedule) + 1))
    assert [report.epoch for report in unbroken.epochs] == [0, 1, 2]
    assert unbroken.saved == [10, 20, 30]
    for epoch, report in enumerate(unbroken.epochs):
        steps = unbroken.steps[STEPS * epoch : STEPS * (epoch + 1)]
        for split, part in (("train", steps[:6]), ("validation", steps[6:])):
            rows = [step.rows for step in part]
            assert sum(rows) == 3 * {"train": 22, "validation": 16}[split]
            weighted = sum(n * float(s.terms["loss"]) for n, s in zip(rows, part, strict=True))
            assert report.losses[f"{split}_loss"] == pytest.approx(weighted / sum(rows))


def test_dropout_is_drawn_anew_at_every_step(path):
    training, seeds = Training(path, JOINT), []
    training.loop = replace(training.loop, on_step=lambda _: seeds.append(torch.initial_seed()))
    training.run(batches=4)
    assert len(set(seeds)) == 4


def test_dropout_takes_part(path, unbroken):
    training = Training(path, JOINT)
    for part in training.state.module.modules():
        if isinstance(part, RowDropout):
            part.rate = 0.0
    assert training.run(batches=1).losses != unbroken.losses[:1]


def test_steps_report_where_they_stand_and_what_they_cost(unbroken):
    units = [step.unit for step in unbroken.steps[:STEPS]]
    assert [unit.split for unit in units] == ["train"] * 6 + ["validation"] * 4
    for step in unbroken.steps:
        assert step.seconds.keys() == set(PARTS)
        assert all(seconds >= 0 for seconds in step.seconds.values())
        assert step.seconds["wait"] > 0
    first, second = (step.seconds for step in unbroken.steps[:2])
    assert first["report"] == 0 < second["report"]  # what the step before took to tell
    assert not any(term.requires_grad for term in unbroken.steps[0].terms.values())


@pytest.mark.parametrize("steps_before", [STEPS, 2 * STEPS, 4, STEPS + 8])
def test_interrupted_saved_and_continued_it_gives_the_same_losses(
    path, unbroken, tmp_path, steps_before
):
    first = Training(path, JOINT).run(batches=steps_before)
    save_state(RunFolder(str(tmp_path)), capture(first.state, 1, "fingerprint", "float32"))

    second = Training(path, JOINT)
    torch.manual_seed(99)
    second.state.module.model.load_state_dict(
        build_model("sparta", "abc", (64, 32), MODEL).state_dict()
    )
    saved = load_state(RunFolder(str(tmp_path)), "fingerprint")
    assert (saved.stage, saved.position) == (1, steps_before)
    restore(second.state, saved)
    second.run()

    assert first.losses + second.losses == unbroken.losses
    assert first.epochs + second.epochs == unbroken.epochs
    for name, value in second.state.module.model.state_dict().items():
        assert torch.equal(value, unbroken.state.module.model.state_dict()[name])


def test_the_learning_rate_schedule_is_continued_too(path, tmp_path):
    stage = DecodeStage(epochs=EPOCHS, lr=1e-5)  # nothing improves beyond the threshold
    plateau = PlateauConfig(patience=0, factor=0.5, threshold=0.5)
    unbroken = Training(path, stage, plateau=plateau).run()
    first = Training(path, stage, plateau=plateau).run(batches=STEPS)
    save_state(RunFolder(str(tmp_path)), capture(first.state, 0, "f", "float32"))
    second = Training(path, stage, plateau=plateau)
    restore(second.state, load_state(RunFolder(str(tmp_path)), "f"))
    second.run()
    rates = [report.lr for report in unbroken.epochs]
    assert rates == pytest.approx([1e-5, 1e-5, 5e-6])
    assert [report.lr for report in first.epochs + second.epochs] == rates


def test_validation_changes_no_weights(path):
    training = Training(path, JOINT).run(batches=6)
    before = {n: v.clone() for n, v in training.state.module.model.state_dict().items()}
    training.run(batches=4)
    for name, value in training.state.module.model.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("stage", [PretrainStage(epochs=1), DecodeStage(epochs=1)])
def test_only_the_trained_parts_change(path, stage):
    training = Training(path, stage)
    before = {n: v.clone() for n, v in training.state.module.model.named_parameters()}
    training.run()
    changed = {
        name.split(".")[0]
        for name, value in training.state.module.model.named_parameters()
        if not torch.equal(value, before[name])
    }
    expected = {"decoder"} if isinstance(stage, DecodeStage) else {"encoder", "projector"}
    assert changed == expected


def test_epochs_report_the_mean_gradient_and_the_health_of_embeddings(unbroken):
    norms = [step.gradient_norm for step in unbroken.steps[:STEPS]]
    assert norms[6:] == [None] * 4
    weighted = sum(12 * float(norm) for norm in norms[:5]) + 6 * float(norms[5])
    assert unbroken.epochs[0].gradient_norm == pytest.approx(weighted / 66)
    first, second, _ = (report.health for report in unbroken.epochs)
    assert first.keys() == second.keys() >= {"embedding_variance", "uniformity"}
    assert first != second


def test_a_stage_may_be_ended_after_any_step(path):
    training, seen = Training(path, JOINT), []

    def stop_after_three(state, is_late):
        seen.append(state.position)
        return state.position == 3

    training.loop = replace(training.loop, after_step=stop_after_three)
    training.run()
    assert seen == [1, 2, 3]
    assert training.state.position == 3


def broken_weight(model):
    with torch.no_grad():
        model.decoder.output.bias.fill_(float("nan"))


def broken_gradient(model):
    model.decoder.output.bias.register_hook(lambda gradient: gradient * float("inf"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (broken_weight, r"the loss is nan at step 2 \(train, epoch 0\) of stage joint: lower"),
        (broken_gradient, r"the gradient norm is (inf|nan) at step 2 \(train, epoch 0\)"),
    ],
)
def test_what_is_not_finite_stops_the_stage_before_it_takes_effect(path, damage, message):
    training = Training(path, JOINT).run(batches=2)
    damage(training.state.module.model)
    before = {n: v.clone() for n, v in training.state.module.model.named_parameters()}
    with pytest.raises(NonFiniteError, match=message) as caught:
        training.run()
    for name, value in training.state.module.model.named_parameters():
        assert torch.equal(value.isnan(), before[name].isnan())
        assert torch.equal(value.nan_to_num(), before[name].nan_to_num())
    assert (training.state.position, training.saved) == (2, [])
    assert caught.value.position == 2


def test_a_validation_loss_that_is_not_finite_stops_too(path):
    training = Training(path, JOINT).run(batches=7)
    broken_weight(training.state.module.model)
    with pytest.raises(NonFiniteError, match=r"at step 7 \(validation, epoch 0\)"):
        training.run()


def test_a_batch_out_of_order_is_noticed(path):
    training = Training(path, JOINT)
    builder = BatchBuilder(training.recipe)
    with pytest.raises(AssertionError, match="out of order"):
        training.loop.run(training.state, training.state.module, iter([builder.build(1)]))


def test_bfloat16_networks_come_close_and_leave_weights_in_float32(path, unbroken):
    training = Training(path, JOINT, precision="bfloat16").run(batches=3)
    assert training.losses[0] == pytest.approx(unbroken.losses[0], rel=0.02)
    assert training.losses == pytest.approx(unbroken.losses[:3], rel=0.1)
    assert training.losses != unbroken.losses[:3]
    state = training.state.module.model.state_dict()
    assert all(v.dtype == torch.float32 for v in state.values() if v.is_floating_point())


def test_float64_begins_as_float32_up_to_rounding(path, unbroken):
    training = Training(path, JOINT, precision="float64").run(batches=2)
    assert training.losses[0] == pytest.approx(unbroken.losses[0], rel=1e-3)
    assert training.losses[0] != unbroken.losses[0]
    state = training.state.module.model.state_dict()
    assert all(v.dtype == torch.float64 for v in state.values() if v.is_floating_point())


def test_accumulated_steps_give_the_same_losses(path):
    stages = [DecodeStage(epochs=1, lr=1e-3, accumulate=parts) for parts in (1, 3)]
    whole, parts = (Training(path, stage, precision="float64").run(batches=8) for stage in stages)
    assert parts.losses == pytest.approx(whole.losses, rel=1e-9)
    norms = [[float(step.gradient_norm) for step in t.steps[:6]] for t in (whole, parts)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-9)


def test_the_best_epoch_is_kept_while_worse_ones_follow(path):
    training = Training(path, replace(JOINT, lr=1e-2))
    losses, weights = [], []

    def spoil(state, report):
        losses.append(report.losses["validation_loss"])
        weights.append({n: v.clone() for n, v in state.module.model.state_dict().items()})
        with torch.no_grad():  # what follows is worse than what was
            state.module.model.decoder.output.bias.fill_(9.0)

    training.loop = replace(training.loop, on_epoch=spoil)
    training.run()
    best = training.state.best
    assert losses[0] < min(losses[1:])
    assert (best.epoch, best.loss) == (0, losses[0])
    for name, value in weights[0].items():
        assert torch.equal(best.weights[name], value)


def test_another_seed_is_another_training(path, unbroken):
    other = Training(path, JOINT)
    other.recipe = replace(other.recipe, seed=6)
    other.run(batches=2)
    assert all(a != b for a, b in itertools.product(other.losses, unbroken.losses[:2]))


@pytest.mark.parametrize(
    "stage",
    [
        PretrainStage(epochs=1),
        JointStage(epochs=1),
        DecodeStage(epochs=1),
        DecodeStage(epochs=1, accumulate=3),
    ],
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_step_reads_nothing_back_from_the_device(path, stage, precision):
    """The host would wait there until a GPU has done all that is queued on it."""
    training, reads = Training(path, stage, precision), []
    # Between the splits' ends, where means and health are read.
    before, after = training.recipe.schedule.batch_at(0), training.recipe.schedule.batch_at(4)
    assert not before.ends_split
    assert not after.ends_split
    with ReadBacks(training.state.optimiser) as counted:
        training.loop = replace(
            training.loop, after_step=lambda *_: reads.append(len(counted.found)) or len(reads) == 5
        )
        training.run(batches=6)
    assert reads == [0] * 5, counted.found
    assert counted.found  # at the end it looks whether all was finite
