"""What ends a job, in words for its user: a mistake, a source that cannot be read, a failure."""

from collections.abc import Callable, Mapping


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the path, the value and the remedy."""


class WriteError(ConfigError):
    """Something cannot be written; in training, the first rank alone finds out."""


class ReadError(ValueError):
    """A source could not be read; the message says what, why and what would help."""


class FailedError(RuntimeError):
    """Something failed as it ran; the message says what, why, and what was kept."""


def last_line(text: str) -> str:
    """Return the end of an error, where traces that were passed on say what it was."""
    return (text.strip().splitlines() or [""])[-1]


def by_rank(failures: Mapping[int, Exception], cause_of: Callable[[str], str] = last_line) -> str:
    """Return a line for each cause, with the ranks that had it.

    Args:
        failures: What each rank failed with.
        cause_of: Takes the text of a failure and returns its cause, in a line.
    """
    ranks: dict[str, list[int]] = {}
    for rank, failure in sorted(failures.items()):
        ranks.setdefault(cause_of(str(failure)), []).append(rank)
    return "\n".join(
        f"  rank {', '.join(map(str, where))}: {cause}" for cause, where in ranks.items()
    )
