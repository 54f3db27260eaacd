"""The sections of a report: what is scored of every model, the downstream tasks among them."""

from collections.abc import Iterable
from dataclasses import dataclass

from sparta_ray.metrics.records import Score
from sparta_ray.tasks.registry import DOWNSTREAM_TASKS


@dataclass(frozen=True)
class Section:
    """A section of a report.

    Attributes:
        task: The task of its scores.
        heading: Its heading.
        question: The question that it answers.
    """

    task: str
    heading: str
    question: str


SECTIONS = (
    Section(
        "contrastive", "Contrastive pretraining", "Does a {step}'s embedding find its neighbours?"
    ),
    Section(
        "reconstruction", "Reconstruction", "How well is a full field recovered from a sparse one?"
    ),
    *(Section(task.name, task.heading, task.question) for task in DOWNSTREAM_TASKS),
    Section("latent space", "Embedding space", "How are the {steps} arranged, and how smoothly?"),
)
"""The sections in the order in which a report shows them."""


def check_tasks(scores: Iterable[Score]) -> None:
    """Refuse scores that no section of a report would show.

    Raises:
        ValueError: Names the task of the first.
    """
    known = [section.task for section in SECTIONS]
    for score in scores:
        if score.task not in known:
            raise ValueError(f"unknown task {score.task!r}; known are {', '.join(known)}")
