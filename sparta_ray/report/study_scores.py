"""The scores of a study by variant and question, or the reason why a score is missing."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sparta_ray.metrics.case_sums import CaseSums, on_common_windows
from sparta_ray.metrics.config import BootstrapConfig
from sparta_ray.metrics.metric import Better
from sparta_ray.metrics.records import Score
from sparta_ray.metrics.uncertainty import (
    Comparison,
    Interval,
    compare,
    compare_alike,
    interval_of,
    spread_over_seeds,
)
from sparta_ray.report.study import Study
from sparta_ray.run.cost import Cost

WITHOUT_WINDOWS = "this score has no values for single windows"
"""Why a score has no interval."""


@dataclass(frozen=True)
class Question:
    """Which score is asked of every variant.

    Attributes:
        task: Such as ``forecast``.
        metric: Such as ``rrmse``.
        setting: Of a forecast.
        lead_days: Steps ahead, of a forecast.
        variable: For a score of one variable.
    """

    task: str
    metric: str
    setting: str | None = None
    lead_days: int | None = None
    variable: str | None = None


@dataclass(frozen=True)
class Answer:
    """A variant's score.

    Attributes:
        value: Mean over runs and seeds, or None.
        interval: Over windows.
        spread: Standard deviation over trainings, or None if there is only one.
        trainings: Their number.
        reason: Why there is no value; empty if there is one.
    """

    value: float | None
    interval: Interval
    spread: float | None = None
    trainings: int = 0
    reason: str = ""


class StudyScores:
    """A study's scores, looked up by variant and question."""

    def __init__(self, study: Study, bootstrap: BootstrapConfig):
        self.study, self.bootstrap = study, bootstrap
        self._scores: dict[tuple[str, Question], list[Score]] = {}
        self._windows: dict[tuple[str, Question], list[CaseSums]] = {}
        for score in study.results.scores:
            self._scores.setdefault((score.model, question_of(score)), []).append(score)
        for found in study.results.windows:
            key = (found.score.model, question_of(found.score))
            self._windows.setdefault(key, []).append(found)

    @cached_property
    def variants(self) -> set[str]:
        """The models that have any score."""
        return {model for model, _ in self._scores}

    def answer(self, variant: str, question: Question) -> Answer:
        """Return a variant's score on a question, or the reason why it has none."""
        scores = self._scores.get((variant, question))
        if not scores:
            return Answer(None, Interval(None, None), reason=self.why_none(variant, question))
        windows = self._windows.get((variant, question))
        if windows is None:
            interval = Interval(None, None, WITHOUT_WINDOWS)
        else:
            interval = interval_of(windows, self.bootstrap)
        value = float(np.mean([score.value for score in scores]))
        return Answer(value, interval, spread_over_seeds(scores), len(scores))

    def compare(
        self,
        ours: str,
        theirs: str,
        question: Question,
        better: Better,
        margin: float | None = None,
        their_setting: str | None = None,
    ) -> Comparison:
        """Compare two variants on the same windows, or say why they cannot be compared.

        With a `margin`, the question is whether they are alike (`compare_alike`), not which is
        better. With `their_setting`, the score of `theirs` is that of another forecast setting, and
        the windows that both settings have are compared.
        """
        their_question = replace(question, setting=their_setting or question.setting)
        keys = (ours, question), (theirs, their_question)
        for variant, asked in keys:
            if (variant, asked) not in self._scores:
                reason = f"{variant}: {self.why_none(variant, asked)}"
                return Comparison(None, Interval(None, None), "not compared", reason)
        our_windows, their_windows = (self._windows.get(key) for key in keys)
        if our_windows is None or their_windows is None:
            return Comparison(None, Interval(None, None), "not compared", WITHOUT_WINDOWS)
        if their_setting is not None:
            our_windows, their_windows = on_common_windows(our_windows, their_windows)
        if margin is not None:
            return compare_alike(our_windows, their_windows, margin, self.bootstrap)
        return compare(our_windows, their_windows, better, self.bootstrap)

    def cost(self, variant: str) -> Cost | None:
        """Return the cost of training a variant."""
        return self.study.results.costs.get(variant)

    @cached_property
    def settings(self) -> list[str]:
        """The forecast settings that were scored."""
        found = (q.setting for _, q in self._scores if q.task == "forecast")
        return list(dict.fromkeys(setting for setting in found if setting is not None))

    def leads(self, setting: str) -> list[int]:
        """Return the lead times at which a forecast setting has scores of single windows."""
        found = {
            question.lead_days
            for _, question in self._windows
            if question.task == "forecast" and question.setting == setting
        }
        return sorted(lead for lead in found if lead is not None)

    def why_none(self, variant: str, question: Question) -> str:
        """Return the reason why a variant or baseline has no score on a question."""
        if variant in self.study.empty:
            return self.study.empty[variant]
        if variant not in self.variants:
            return "not run"
        for absent in self.study.results.absent:
            if (absent.task, absent.model, absent.metric) == (
                question.task, variant, question.metric,
            ):  # fmt: skip
                return absent.reason
        return self._why_not_scored(variant, question)

    def _why_not_scored(self, variant: str, question: Question) -> str:
        members = [m for m in self.study.members if variant in self.study.names(m).values()]
        if not members:  # a baseline
            return "not scored"
        downstream = members[0].run.downstream
        if question.task == "forecast":
            assert question.setting is not None
            config = downstream.forecast.get(question.setting)
            if config is None:
                return "setting not run"
            if question.lead_days is not None and question.lead_days > config.lead_days:
                return f"forecast {self.study.step.lasting(config.lead_days)} only"
            return "not among evaluation.report_leads"
        optional = question.task in ("diffusion", "classification")
        if optional and getattr(downstream, question.task) is None:
            return f"{question.task} was left out"
        return "not scored"


def question_of(score: Score) -> Question:
    """Return the question that a score answers."""
    return Question(score.task, score.metric, score.setting, score.lead_days, score.variable)
