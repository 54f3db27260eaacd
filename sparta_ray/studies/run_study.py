"""A study from its file to its summary: each link once for all trials, naming what fails."""

from collections.abc import Sequence
from contextlib import ExitStack

from sparta_ray.base.errors import FailedError
from sparta_ray.base.folder import RunFolder
from sparta_ray.evaluation.results import is_evaluated
from sparta_ray.inspection import Facts, inspect
from sparta_ray.on_ray.cluster_size import check_cluster, joins_cluster
from sparta_ray.on_ray.session import check_local, ray_session
from sparta_ray.report.build import write_pages
from sparta_ray.run.ownership import claim
from sparta_ray.run.settings import Run
from sparta_ray.studies.config import StudyConfig
from sparta_ray.studies.data import StudyData
from sparta_ray.studies.folder import StudyFolder, was_stopped
from sparta_ray.studies.summary import write_summary
from sparta_ray.studies.trial import StudyTrial, named


def run_study(study: StudyConfig, trials: Sequence[StudyTrial]) -> None:
    """Do what is left of a study, and print its summary.

    The run folders are all the state there is: the same call continues after any interruption.

    Raises:
        ConfigError: Some trial cannot be done as it is; nothing was begun.
        FailedError: Some trials failed; all others were done.
    """
    facts = check_study(study, trials)
    folder = StudyFolder(study.path)
    with ExitStack() as held:
        held.enter_context(folder.exclusive_lock())
        for trial in trials:
            held.enter_context(RunFolder(trial.run.path).exclusive_lock())
        folder.record(study, trials)
        failures = _do(study, trials, facts, folder) if _is_left(study, facts) else {}
        for trial in trials:
            if trial.name not in failures:
                folder.forget_error(trial.name)
        print(write_summary(study, trials, folder), flush=True)
        if study.until == "report" and any(_is_evaluated(trial.run) for trial in trials):
            print(f"report: {write_pages([study.path])}", flush=True)
    if failures:
        lines = [f"  {name}: {reason}" for name, reason in failures.items()]
        raise FailedError(
            f"{len(failures)} of {len(trials)} trials failed; the same command tries them again, "
            f"and {folder.child('errors')} has more:\n" + "\n".join(lines)
        )


def check_study(study: StudyConfig, trials: Sequence[StudyTrial]) -> list[Facts]:
    """Refuse a study that cannot work, before anything is started or spent.

    Returns:
        What is known of each trial's run.

    Raises:
        ConfigError: Names the trial, the setting and the remedy.
    """
    StudyFolder(study.path).check(trials)
    known, facts = StudyData(), []
    for trial in trials:
        with named(trial):
            data = known.inspect(trial.run.data)
            facts.append(inspect(trial.run, _links(study), data=data))
            if not joins_cluster():
                check_local(trial.run, _links(study))
    return facts


def _links(study: StudyConfig) -> tuple[str, ...]:
    """Return the links of the study that ask the cluster for resources."""
    return ("train",) if study.until == "train" else ("train", "downstream")


def _is_left(study: StudyConfig, facts: Sequence[Facts]) -> bool:
    """Return whether anything needs Ray."""
    return not all(_is_done(study, found) for found in facts)


def _is_done(study: StudyConfig, facts: Facts) -> bool:
    if was_stopped(RunFolder(facts.run.path)):
        return True
    if study.until == "train" or not facts.trained:
        return facts.trained
    if facts.unfinished:
        return False
    return study.until == "downstream" or _is_evaluated(facts.run)


def _is_evaluated(run: Run) -> bool:
    return is_evaluated(RunFolder(run.path), run.evaluation)


def _do(
    study: StudyConfig,
    trials: Sequence[StudyTrial],
    facts: Sequence[Facts],
    folder: StudyFolder,
) -> dict[str, str]:
    """Do what is left in one session; return the reasons of the trials that failed."""
    with ray_session(trials[0].run, _links(study), facts[0].data.complete):
        if joins_cluster():
            for trial in trials[1:]:
                with named(trial):
                    check_cluster(trial.run, _links(study))
        # Ray Data, Train and Tune load only here: a finished study is summed up without them.
        from sparta_ray.on_ray.prepare import prepare
        from sparta_ray.studies.links import do_links

        for found in facts:
            store = prepare(found.data)
            claim(RunFolder(found.run.path), found.run, store.fingerprint)
        return do_links(study, trials, folder)
