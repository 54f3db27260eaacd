"""The evaluation of a run: every part that is not saved yet, and then all of them together."""

import time

import torch

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.base.progress import ProgressLine, ShowProgress, clock
from sparta_ray.data.preparation.streaming import open_store
from sparta_ray.evaluation.part import Part
from sparta_ray.evaluation.published_results import beside_published
from sparta_ray.evaluation.results import (
    Inputs,
    Results,
    is_saved,
    is_up_to_date,
    load_scores,
    save_part,
    save_results,
)
from sparta_ray.evaluation.setup import Setup
from sparta_ray.run.data_record import save_data_record
from sparta_ray.run.settings import Run
from sparta_ray.run.trial import is_finished
from sparta_ray.tasks.parts import inputs_of, parts_of
from sparta_ray.tasks.sections import check_tasks
from sparta_ray.tasks.trials import trials


class Evaluation:
    """What there is to evaluate of a run, and what of it is left.

    Attributes:
        run: The run.
        parts: All parts in their order.
        inputs: What the results of each part follow from, by its name.
    """

    def __init__(self, run: Run):
        """Look at a run whose models are all there.

        Raises:
            ConfigError: A downstream trial is not finished.
        """
        self.run, self._folder = run, RunFolder(run.path)
        unfinished = [trial.name for trial in trials(run) if not is_finished(self._folder, trial)]
        if unfinished:
            raise ConfigError(
                f"{len(unfinished)} downstream trials are not finished, such as {unfinished[0]}; "
                "run jobs/train_downstream.py first"
            )
        self.parts: list[Part] = parts_of(run)
        self.inputs: dict[str, Inputs] = inputs_of(run, self.parts)

    def is_done(self) -> bool:
        """Return whether the results of all parts are there, put together and up to date."""
        return is_up_to_date(self._folder, self.run.evaluation, self.inputs)

    def pending(self) -> list[Part]:
        """Return the parts without results that are up to date."""
        return [
            part
            for part in self.parts
            if not is_saved(self._folder, part.name, self.inputs[part.name])
        ]

    def finish(self) -> None:
        """Put the results of all parts together, and the paper's numbers beside their scores."""
        total = Results()
        for part in self.parts:
            total.extend(load_scores(self._folder, part.name))
        check_tasks(total.scores)
        total.scores = beside_published(total.scores, self.run)
        save_data_record(self._folder, open_store(self.run.data.store))
        save_results(self._folder, self.run.evaluation, total, self.inputs)


def score_part(setup: Setup, part: Part, inputs: Inputs) -> None:
    """Score a part and save its results."""
    save_part(RunFolder(setup.run.path), part.name, inputs, part.score(setup))


def device_here() -> torch.device:
    """Return where this process evaluates: on a GPU if it has one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class EvaluationProgress:
    """Tells how far an evaluation has come, and how long the rest may take."""

    def __init__(self, evaluation: Evaluation, pending: int, show: ShowProgress):
        """Begin with so many pending parts."""
        self._total, self._show = len(evaluation.parts), show
        self._before = self._done = self._total - pending
        self._began = time.monotonic()

    def begin(self, part: Part) -> None:
        """Tell that a part begins."""
        scored, left = self._done - self._before, self._total - self._done
        text = part.label
        if scored:
            text += f" | eta {clock((time.monotonic() - self._began) / scored * left)}"
        self._show("evaluate", self._done, self._total, text)

    def end(self) -> None:
        """Take it that a part has ended."""
        self._done += 1

    def finish(self) -> None:
        """Tell that all parts have ended."""
        took = clock(time.monotonic() - self._began)
        self._show("evaluate", self._total, self._total, f"done in {took}")


def show_here(label: str, done: int, total: int, text: str) -> None:
    """Show in this process how far an evaluation has come."""
    ProgressLine(label, every=0.0).show(done, total, text)


def evaluate(run: Run, show: ShowProgress = show_here) -> None:
    """Evaluate what is left of a run in this process, part by part, without Ray.

    Args:
        run: Whose models and tasks.
        show: Told of every part that begins, and of the end.

    Raises:
        ConfigError: A downstream trial is not finished.
    """
    evaluation = Evaluation(run)
    if evaluation.is_done():
        return
    pending = evaluation.pending()
    progress = EvaluationProgress(evaluation, len(pending), show)
    setup = Setup(run, device_here())
    for part in pending:
        progress.begin(part)
        score_part(setup, part, evaluation.inputs[part.name])
        progress.end()
    evaluation.finish()
    progress.finish()
