"""The settings of a study's runs that differ from the published ones."""

from collections.abc import Iterator

from sparta_ray.base.config import differences, to_tree
from sparta_ray.report.study import Study
from sparta_ray.run.settings import Run

_STATED = ("name", "folder", "scaling", "data.source", "data.store", "seed")
"""Settings that are not part of the method: they are not listed as differing from it."""


def changed_settings(study: Study) -> Iterator[tuple[str, str, str]]:
    """Yield path, published and own value of every setting that some run changed."""
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for member in study.members:
        for path, published, ours in _changed_by(member.run):
            found.setdefault((path, published), {}).setdefault(ours, []).append(member.run.name)
    for (path, published), values in found.items():
        ours, runs = next(iter(values.items()))
        if len(values) > 1 or len(runs) < len(study.members):
            ours = "; ".join(f"{value} ({', '.join(names)})" for value, names in values.items())
        yield path, published, ours


def _changed_by(run: Run) -> Iterator[tuple[str, str, str]]:
    left_out = [name for name in Run().downstream.forecast if name not in run.downstream.forecast]
    absent = tuple(f"downstream.forecast.{name}" for name in left_out)
    yield from ((path, "trained", "left out") for path in absent)
    for line in differences(to_tree(Run()), to_tree(run), (*_STATED, *absent)):
        path, _, values = line.partition(": ")
        published, _, ours = values.partition(" -> ")
        yield path, published.strip("'"), ours.strip("'")
