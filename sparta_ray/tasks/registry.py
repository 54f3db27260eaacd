"""Every downstream task: a new one is added here."""

from sparta_ray.tasks.classification import Classification
from sparta_ray.tasks.forecast import Forecast
from sparta_ray.tasks.generation import Generation
from sparta_ray.tasks.task import DownstreamTask

DOWNSTREAM_TASKS: tuple[DownstreamTask, ...] = (Forecast(), Generation(), Classification())
"""The tasks, in the order in which they are trained and shown."""


def task_named(name: str) -> DownstreamTask:
    """Return the task of a trial, by its name."""
    return next(task for task in DOWNSTREAM_TASKS if task.name == name)
