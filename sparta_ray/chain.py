"""The chain of a run: prepare, train, downstream, evaluate, report; each link once."""

from collections.abc import Iterator

from sparta_ray.base.config import to_yaml
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.data.preparation.recipe import (
    describe_recipe,
    read_recipe,
)
from sparta_ray.data.store.layout import StoreLayout
from sparta_ray.data.store.store import read_meta
from sparta_ray.on_ray.cluster_size import joins_cluster
from sparta_ray.on_ray.resources import resource_requests, shard_request
from sparta_ray.on_ray.session import check_local, describe_cluster, ray_session
from sparta_ray.report.build import write_page
from sparta_ray.run.estimate import stage_costs
from sparta_ray.run.inspect import check_before, layout_of
from sparta_ray.run.ownership import NOTHING, Allowed, claim, is_trained
from sparta_ray.run.settings import Run, downstream_splits, splits
from sparta_ray.run.trial import is_finished
from sparta_ray.tasks.evaluate import Evaluation, evaluate
from sparta_ray.tasks.trials import trials

LINKS = ("prepare", "train", "downstream", "evaluate", "report")


def run_chain(run: Run, links: tuple[str, ...] = LINKS, allowed: Allowed = NOTHING) -> None:
    """Do those links of a run's chain that are not done yet, in order.

    Args:
        run: What to do.
        links: Which part of it.
        allowed: How it may differ from the run that its folder holds.

    Raises:
        ConfigError: The run does not fit its data, the cluster, or its folder; nothing was begun.
    """
    if misfit := check_before(run, layout_of(run.data), links, allowed):
        print(misfit, flush=True)
    if not joins_cluster():
        check_local(run, links)
    folder = RunFolder(run.path)
    if "downstream" in links and "train" not in links and not is_trained(run):
        raise ConfigError(f"{run.path} has no trained models; run jobs/train_sparta.py first")
    if links == ("prepare",):
        _do(run, links, allowed)
        return
    with folder.exclusive_lock():
        _do(run, links, allowed)


def _do(run: Run, links: tuple[str, ...], allowed: Allowed) -> None:
    if _needs_ray(run, links):
        with ray_session(run, links):
            _do_with_ray(run, links, allowed)
    else:
        print(_finished_before(run, links), end="", flush=True)
        if "evaluate" in links:
            evaluate(run)
    if "report" in links:
        print("report: drawing figures and tables", flush=True)
        print(f"report: {write_page(run)}", flush=True)


def _finished_before(run: Run, links: tuple[str, ...]) -> str:
    """Return a line for the last of those links that leave models or data, all of them done."""
    done = {
        "train": f"its models are in {run.path}/models",
        "downstream": f"its models are in {run.path}/downstream",
        "prepare": f"the store is {run.data.store}",
    }
    return next(
        (f"{link}: finished before; {at}\n" for link, at in done.items() if link in links), ""
    )


def _needs_ray(run: Run, links: tuple[str, ...]) -> bool:
    folder = RunFolder(run.path)
    return (
        not _is_prepared(run)
        or ("train" in links and not is_trained(run))
        or ("downstream" in links and not all(is_finished(folder, t) for t in trials(run)))
        or ("evaluate" in links and bool(Evaluation(run).pending()))
    )


def _is_prepared(run: Run) -> bool:
    meta = read_meta(run.data.store)
    return meta is not None and bool(meta["complete"])


def _do_with_ray(run: Run, links: tuple[str, ...], allowed: Allowed) -> None:
    # Ray Data, Train and Tune load only here: a finished run's report is written without them.
    from sparta_ray.on_ray.downstream import train_downstream
    from sparta_ray.on_ray.evaluate import evaluate_on_ray
    from sparta_ray.on_ray.prepare import prepare
    from sparta_ray.on_ray.queueing import wait_for_room
    from sparta_ray.on_ray.train import train

    if not _is_prepared(run):
        wait_for_room(shard_request())
    store = prepare(run.data)
    if links != ("prepare",):
        claim(RunFolder(run.path), run, store.fingerprint, allowed)
    if "train" in links:
        train(run, allowed)
    if "downstream" in links:
        train_downstream(run)
    if "evaluate" in links:
        evaluate_on_ray(run)


def describe(run: Run, links: tuple[str, ...]) -> str:
    """Return what a run would do and cost, for ``--dry-run`` of some links of its chain."""
    layout = layout_of(run.data)
    misfit = check_before(run, layout, links)
    rest = _costs(run, layout, links) if misfit is None else [misfit]
    return "\n".join([to_yaml(run), *_sizes(run, layout), *rest])


def _sizes(run: Run, layout: StoreLayout) -> Iterator[str]:
    days, grid = len(layout.days), (len(layout.longitude), len(layout.latitude))
    yield f"data: {layout.days[0]} to {layout.days[-1]}, {days:,} days, grid {grid[0]}x{grid[1]}"
    meta = read_meta(run.data.store)
    if meta is not None and meta["complete"]:
        yield f"store: complete, {layout.bytes / 1e6:,.0f} MB at {run.data.store}"
    else:
        yield from describe_recipe(read_recipe(run.data))
    for name, part in splits(run, days).items():
        yield f"{name}: {len(part):,} days from {layout.days[part.start]}"
    for name, part in downstream_splits(run, days).items():
        yield f"downstream {name}: {len(part):,} days from {layout.days[part.start]}"


def _costs(run: Run, layout: StoreLayout, links: tuple[str, ...]) -> Iterator[str]:
    costs = stage_costs(run, len(layout.days), (len(layout.longitude), len(layout.latitude)))
    for cost in costs:
        yield (
            f"stage {cost.stage}: {cost.epochs} epochs x {cost.steps // cost.epochs} = "
            f"{cost.steps:,} steps, {cost.step_flop / 1e12:.3g} TFLOP each; trains "
            f"{cost.trained_parameters:,} of {cost.parameters:,} parameters"
        )
    total = sum(cost.flop for cost in costs)
    yield f"training: {total / 1e15:.3g} PFLOP without validation"
    yield f"downstream: {len(trials(run))} trials"
    for request in resource_requests(run):
        needs = f"{request.cpus:g} CPUs and {request.gpus:g} GPUs"
        yield f"{request.link} asks for {needs}: {request.description}"
    yield describe_cluster(run, links) if joins_cluster() else _describe_machine(run, links)


def _describe_machine(run: Run, links: tuple[str, ...]) -> str:
    """Say whether this machine holds a run that may be meant for a larger one."""
    try:
        check_local(run, links)
    except ConfigError as error:
        return f"this machine is too small for all of it: {error}"
    return "this machine can hold it"
