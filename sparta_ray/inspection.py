"""What is known of a run before anything is started or spent: whether it can work, what is left."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.base.grids import Grid
from sparta_ray.data.preparation.facts import DataFacts, inspect_data
from sparta_ray.data.preparation.streaming import check_stream
from sparta_ray.run.checks import check_region, check_run, check_targets
from sparta_ray.run.ownership import NOTHING, Allowed, check_owner, is_trained
from sparta_ray.run.settings import Run
from sparta_ray.run.trial import Trial, is_finished
from sparta_ray.tasks.trials import trials

_MAY_PREPARE = frozenset({"prepare", "train"})
"""The links that may prepare a store; all others read one that is finished."""


@dataclass(frozen=True)
class Facts:
    """What was found out about a run; looked up once and handed on.

    Attributes:
        run: The run.
        data: Its data: a finished store, or how one is made.
        trained: Whether all models of the run are in its folder.
        misfit: Where only data are prepared: why this run could not be trained on them.
    """

    run: Run
    data: DataFacts
    trained: bool
    misfit: str | None = None

    @cached_property
    def unfinished(self) -> tuple[Trial, ...]:
        """The downstream trials that are not finished: all of them while the run is not trained."""
        if not self.trained:
            return tuple(trials(self.run))
        folder = RunFolder(self.run.path)
        return tuple(trial for trial in trials(self.run) if not is_finished(folder, trial))


def inspect(
    run: Run,
    links: Collection[str],
    allowed: Allowed = NOTHING,
    data: DataFacts | None = None,
) -> Facts:
    """Find out whether some links of a run's chain can be done, and what is done already.

    Nothing is written. A source is opened only if its store is to be prepared. A report needs none
    of this: see `check_recorded`.

    Args:
        run: The run.
        links: The links that are to be done, such as ``("prepare", "train")``.
        allowed: How the run may differ from the one that its folder holds.
        data: What is known of its data, if they were looked up for another run.

    Raises:
        ConfigError: The run does not fit its data; its folder belongs to another run; or what an
            earlier link should have left is not there. Names the value and the remedy.
    """
    only_reads = _MAY_PREPARE.isdisjoint(links)
    if data is None:
        data = inspect_data(run.data, may_prepare=not only_reads)
    misfit = None
    try:
        _check_fit(run, data, allowed)
    except ConfigError as error:
        if set(links) != {"prepare"}:
            raise
        misfit = f"prepare: the data can be prepared, but not trained on as configured: {error}"
    facts = Facts(run, data, is_trained(run), misfit)
    if only_reads:
        _check_earlier_links(facts, links)
    return facts


def _check_fit(run: Run, data: DataFacts, allowed: Allowed) -> None:
    """Refuse a run that does not fit its data, or whose folder belongs to another run."""
    check_run(run, data.layout.days, data.layout.grid)
    check_region(run, Grid(data.layout.longitude, data.layout.latitude))
    if run.data.mode == "stream":
        check_stream(run.data.cache, run.sampling, data.layout)
    folder = RunFolder(run.path)
    check_owner(folder, run, data.fingerprint, allowed)
    if not all(is_finished(folder, trial) for trial in trials(run)):
        check_targets(run)


def _check_earlier_links(facts: Facts, links: Collection[str]) -> None:
    """Refuse links that build on models which are not there."""
    if not facts.trained:
        raise ConfigError(
            f"{facts.run.path} has no trained models; correct name or folder, or run "
            "jobs/train_sparta.py first"
        )
    if "downstream" not in links and facts.unfinished:
        raise ConfigError(
            f"{len(facts.unfinished)} downstream trials of {facts.run.path} are not finished, such "
            f"as {facts.unfinished[0].name}; run jobs/train_downstream.py first"
        )


def check_recorded(run: Run, allowed: Allowed = NOTHING) -> None:
    """Refuse to report on a run that was never begun, or on another run's folder.

    A report is drawn from the run folder; neither the store nor its source is looked at.

    Raises:
        ConfigError: There is no run folder, or it belongs to a run of other settings.
    """
    folder = RunFolder(run.path)
    if not folder.exists("run.yaml"):
        raise ConfigError(
            f"no run at {run.path}; correct name or folder, or run jobs/train_sparta.py first"
        )
    check_owner(folder, run, None, allowed)
