"""What a study will cost: trials, steps, operations, and hours from a probe of this machine."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sparta_ray.base.config import to_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.grids import Grid
from sparta_ray.run.checks import check_region, check_run, check_targets
from sparta_ray.run.estimate import StageCost, stage_costs
from sparta_ray.studies.config import StudyConfig
from sparta_ray.studies.data import DataSize, StudyData, size_of, size_stated
from sparta_ray.studies.probe import Probe, probe
from sparta_ray.studies.trial import StudyTrial, named
from sparta_ray.tasks.trials import trials as downstream_trials

GPU_RATE = 50e12
"""Operations a second that a GPU is taken to reach where none can be measured."""


@dataclass(frozen=True)
class TrialCost:
    """A trial and the stages that it trains itself; none if it uses another trial's models."""

    trial: StudyTrial
    stages: tuple[StageCost, ...]

    @property
    def steps(self) -> int:
        """Optimiser steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    @property
    def flop(self) -> int:
        """Floating-point operations of all stages."""
        return sum(stage.flop for stage in self.stages)


def trial_costs(trials: Sequence[StudyTrial], sizes: Mapping[str, DataSize]) -> list[TrialCost]:
    """Return the cost of each trial's own training, without validation.

    Args:
        trials: All trials of a study.
        sizes: Of each trial's data, by its name.
    """
    counted: dict[str, StageCost] = {}
    return [
        TrialCost(trial, _stages(trial, sizes[trial.name], counted) if trial.trains else ())
        for trial in trials
    ]


def _stages(
    trial: StudyTrial, size: DataSize, counted: dict[str, StageCost]
) -> tuple[StageCost, ...]:
    """Return the costs of a trial's stages; those that trials share are computed once."""
    tree = {**to_tree(trial.run), "name": "", "seed": 0, "downstream": {}, "evaluation": {}}
    tree["training"] = {**tree["training"], "stages": ()}
    tree["training"]["contrastive"] = {**tree["training"]["contrastive"], "cycle_weight": 0}
    costs = []
    for stage in trial.run.training.stages:
        key = f"{stage} {tree} {size.grid}"
        if key not in counted:
            alone = replace(trial.run, training=replace(trial.run.training, stages=(stage,)))
            (counted[key],) = stage_costs(alone, len(size.days), size.grid)
        costs.append(counted[key])
    return tuple(costs)


def describe_study(study: StudyConfig, trials: Sequence[StudyTrial]) -> Iterator[str]:
    """Yield what a study would do and cost, for ``--dry-run``; the probe takes some seconds."""
    sizes, note = _sizes(study, trials)
    if note:
        yield note
    costs = trial_costs(trials, sizes)
    yield f"{'trial':40} {'steps':>9} {'PFLOP':>9}  training"
    for cost in costs:
        own = f"trains {', '.join(cost.trial.run.models)}"
        how = own if cost.stages else f"uses the models of {cost.trial.trained_by}"
        yield f"{cost.trial.name:40} {cost.steps:9,} {cost.flop / 1e15:9.4g}  {how}"
    total = sum(cost.flop for cost in costs)
    tasks = 0 if study.until == "train" else sum(len(downstream_trials(t.run)) for t in trials)
    yield (
        f"in all: {len(trials)} trials, {sum(bool(c.stages) for c in costs)} trainings of "
        f"{sum(c.steps for c in costs):,} steps and {total / 1e15:.4g} PFLOP without validation, "
        f"{tasks} downstream trainings"
    )
    if study.sweep is not None and study.sweep.asha is not None:
        yield "that is if no trial were stopped early"
    yield from _hours(costs, sizes)


def _sizes(study: StudyConfig, trials: Sequence[StudyTrial]) -> tuple[dict[str, DataSize], str]:
    """Return the size of each trial's data, and a note if the data cannot be read."""
    known, sizes, note = StudyData(), {}, ""
    for trial in trials:
        try:
            data = known.inspect(trial.run.data)
        except ConfigError as error:
            if study.expects is None:
                raise
            size = size_stated(study.expects, trial.run.data.length)
            note = (
                f"the data cannot be read from here ({str(error).splitlines()[0]}); counted for "
                f"{len(size.days):,} {trial.run.data.length.nouns} of "
                f"{size.grid[0]}x{size.grid[1]}, as the study file says"
            )
        else:
            size = size_of(data)
            with named(trial):
                check_region(trial.run, Grid(data.layout.longitude, data.layout.latitude))
        with named(trial):
            check_run(trial.run, size.days, size.grid)
            check_targets(trial.run)
        sizes[trial.name] = size
    return sizes, note


def _hours(costs: Sequence[TrialCost], sizes: Mapping[str, DataSize]) -> Iterator[str]:
    """Yield how long training would take, from timing a few steps of each kind of model."""
    probes: dict[str, Probe] = {}
    here = 0.0
    for cost in costs:
        run, grid = cost.trial.run, sizes[cost.trial.name].grid
        for model in {stage.model for stage in cost.stages}:
            stages = [stage for stage in cost.stages if stage.model == model]
            longest = max(stages, key=lambda stage: stage.flop)
            key = f"{model} {to_tree(run)['model']} {run.views.crop} {longest.stage}"
            if key not in probes:
                config = next(s for s in run.training.stages if s.kind == longest.stage)
                probes[key] = probe(run, config, grid)
                yield _describe_probe(cost.trial, longest.stage, probes[key])
            here += sum(stage.flop for stage in stages) / probes[key].rate
    yield (
        f"training at these rates: {here / 3600:.3g} hours, one training after the other; data, "
        "validation, tasks and evaluation come on top"
    )
    if any(p.on_cpu for p in probes.values()):
        total = sum(cost.flop for cost in costs)
        yield (
            f"on a GPU at an effective {GPU_RATE / 1e12:.0f} TFLOP/s (assumed, not measured): "
            f"{total / GPU_RATE / 3600:.3g} GPU-hours"
        )


def _describe_probe(trial: StudyTrial, stage: str, found: Probe) -> str:
    return (
        f"probe on {found.device}, {found.precision}: {stage} of {trial.variant}, {found.rows} "
        f"rows, {found.seconds:.3g} s a step = {found.rate / 1e12:.3g} TFLOP/s"
    )
