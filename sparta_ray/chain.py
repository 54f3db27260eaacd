"""The chain of a run: prepare, train, downstream, evaluate, report; each link is done once."""

from collections.abc import Iterator

from sparta_ray.base.config import to_yaml
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.data.preparation.facts import DataFacts
from sparta_ray.data.preparation.recipe import describe_recipe
from sparta_ray.inspection import Facts, check_recorded, inspect
from sparta_ray.on_ray.cluster_size import joins_cluster
from sparta_ray.on_ray.resources import resource_requests, shard_request
from sparta_ray.on_ray.session import check_local, check_local_memory, describe_cluster, ray_session
from sparta_ray.report.build import write_page
from sparta_ray.run.estimate import stage_costs
from sparta_ray.run.memory import worker_bytes
from sparta_ray.run.ownership import NOTHING, Allowed, claim
from sparta_ray.run.settings import Run, downstream_splits, splits
from sparta_ray.tasks.evaluate import Evaluation, evaluate
from sparta_ray.tasks.trials import trials

LINKS = ("prepare", "train", "downstream", "evaluate", "report")


def run_chain(run: Run, links: tuple[str, ...] = LINKS, allowed: Allowed = NOTHING) -> None:
    """Do those links of a run's chain that are not done yet, in order.

    Only "prepare" and "train" prepare a store; all other links need one that is finished.

    Args:
        run: What to do.
        links: Which part of the chain.
        allowed: How the run may differ from the one that its folder holds.

    Raises:
        ConfigError: The run does not fit its data, the cluster, or its folder, or needs what an
            earlier link has not left; nothing was begun.
    """
    folder = RunFolder(run.path)
    if links == ("report",):
        check_recorded(run, allowed)
        with folder.exclusive_lock():
            _report(run)
        return
    facts = inspect(run, links, allowed)
    if facts.misfit is not None:
        print(facts.misfit, flush=True)
    if not joins_cluster():
        check_local(run, links)
        if "train" in links and not facts.trained:
            check_local_memory(run, facts.data.layout.grid)
    if links == ("prepare",):
        _do(facts, links, allowed)
        return
    with folder.exclusive_lock():
        _do(facts, links, allowed)


def _do(facts: Facts, links: tuple[str, ...], allowed: Allowed) -> None:
    run = facts.run
    if _needs_ray(facts, links):
        with ray_session(run, links, facts.data.complete):
            _do_with_ray(facts, links, allowed)
    else:
        print(_finished_before(run, links), end="", flush=True)
        if "evaluate" in links:
            evaluate(run)
    if "report" in links:
        _report(run)


def _needs_ray(facts: Facts, links: tuple[str, ...]) -> bool:
    return (
        not facts.data.complete
        or ("train" in links and not facts.trained)
        or ("downstream" in links and bool(facts.unfinished))
        or ("evaluate" in links and bool(Evaluation(facts.run).pending()))
    )


def _do_with_ray(facts: Facts, links: tuple[str, ...], allowed: Allowed) -> None:
    # Ray Data, Train and Tune load only here: a finished run's report is written without them.
    from sparta_ray.on_ray.downstream import train_downstream
    from sparta_ray.on_ray.evaluate import evaluate_on_ray
    from sparta_ray.on_ray.prepare import prepare
    from sparta_ray.on_ray.queueing import wait_for_room
    from sparta_ray.on_ray.train import train

    run = facts.run
    if not facts.data.complete:
        wait_for_room(shard_request())
    store = prepare(facts.data)
    if links != ("prepare",):
        claim(RunFolder(run.path), run, store.fingerprint, allowed)
    if "train" in links:
        train(run, allowed)
    if "downstream" in links:
        train_downstream(run)
    if "evaluate" in links:
        evaluate_on_ray(run)


def _finished_before(run: Run, links: tuple[str, ...]) -> str:
    """Return a line about the last of those links that leave models or data, if all are done."""
    done = {
        "train": f"its models are in {run.path}/models",
        "downstream": f"its models are in {run.path}/downstream",
        "prepare": f"the store is {run.data.store}",
    }
    return next(
        (f"{link}: finished before; {at}\n" for link, at in done.items() if link in links), ""
    )


def _report(run: Run) -> None:
    print("report: drawing figures and tables", flush=True)
    print(f"report: {write_page(run)}", flush=True)


def describe(run: Run, links: tuple[str, ...]) -> str:
    """Return what some links of a run's chain would do and cost, for ``--dry-run``.

    Raises:
        ConfigError: See `run_chain`.
    """
    if links == ("report",):
        check_recorded(run)
        return f"{to_yaml(run)}\nreport: from what is in {run.path}, to {run.path}/report"
    facts = inspect(run, links)
    rest = _costs(facts, links) if facts.misfit is None else [facts.misfit]
    return "\n".join([to_yaml(run), *_sizes(run, facts.data), *rest])


def _sizes(run: Run, data: DataFacts) -> Iterator[str]:
    days, (longitudes, latitudes) = data.layout.days, data.layout.grid
    step = run.data.length
    yield f"data: {days[0]} to {days[-1]}, {step.counted(len(days))}, grid {longitudes}x{latitudes}"
    if data.recipe is None:
        yield f"store: complete, {data.layout.bytes / 1e6:,.0f} MB at {run.data.store}"
    else:
        yield from describe_recipe(data.recipe)
    for name, part in splits(run, len(days)).items():
        yield f"{name}: {step.counted(len(part))} from {days[part.start]}"
    for name, part in downstream_splits(run, len(days)).items():
        yield f"downstream {name}: {step.counted(len(part))} from {days[part.start]}"


def _costs(facts: Facts, links: tuple[str, ...]) -> Iterator[str]:
    run, layout = facts.run, facts.data.layout
    costs = stage_costs(run, len(layout.days), layout.grid)
    for cost in costs:
        yield (
            f"stage {cost.stage}: {cost.epochs} epochs x {cost.steps // cost.epochs} = "
            f"{cost.steps:,} steps, {cost.step_flop / 1e12:.3g} TFLOP each; trains "
            f"{cost.trained_parameters:,} of {cost.parameters:,} parameters"
        )
    total = sum(cost.flop for cost in costs)
    yield f"training: {total / 1e15:.3g} PFLOP without validation"
    memory = max(worker_bytes(run, stage, layout.grid) for stage in run.training.stages)
    yield f"training needs at least {memory / 1e9:.2g} GB of memory a worker"
    yield f"downstream: {len(trials(run))} trials"
    for request in resource_requests(run):
        needs = f"{request.cpus:g} CPUs and {request.gpus:g} GPUs"
        yield f"{request.link} asks for {needs}: {request.description}"
    if joins_cluster():
        yield describe_cluster(run, links)
    else:
        yield _describe_machine(run, links, layout.grid)


def _describe_machine(run: Run, links: tuple[str, ...], grid: tuple[int, int]) -> str:
    """Say whether this machine can hold a run that may be meant for a larger one."""
    try:
        check_local(run, links)
        if "train" in links:
            check_local_memory(run, grid)
    except ConfigError as error:
        return f"this machine is too small for all of it: {error}"
    return "this machine can hold it"
