"""The command line that all jobs share."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sparta_ray.base.config import load
from sparta_ray.base.errors import ConfigError, FailedError
from sparta_ray.chain import LINKS, describe, run_chain
from sparta_ray.run.ownership import Allowed
from sparta_ray.run.settings import Run, with_absolute_paths
from sparta_ray.studies.config import load_study
from sparta_ray.studies.estimate import describe_study
from sparta_ray.studies.run_study import run_study
from sparta_ray.studies.trial import trials_of

DEMO = "conf/demo.yaml"
SMALL = "conf/study/small.yaml"

_ALLOWANCES = {
    "changed-config": "continue a run under settings that change what its weights become",
    "changed-data": "continue a run on another store",
    "older-checkpoint": "if the last checkpoint is damaged, continue from the one before",
}
"""What a user may allow when a run is continued, in the order of `Allowed`."""


def main(description: str, links: Sequence[str] = LINKS) -> None:
    """Read a run from the command line and do some links of its chain, or describe them."""
    parser = job_parser(description, DEMO)
    if len(links) > 1:
        parser.add_argument("--until", choices=links, default=links[-1], help="the last link to do")
        for flag, meaning in _ALLOWANCES.items():
            parser.add_argument(f"--allow-{flag}", action="store_true", help=meaning)
    arguments = parser.parse_args()
    wanted = tuple(links)
    if len(links) > 1:
        wanted = wanted[: wanted.index(arguments.until) + 1]
    with errors_in_words():
        run = with_absolute_paths(load(Run, arguments.config, arguments.overrides))
        if arguments.dry_run:
            print(describe(run, wanted))
        else:
            flags = [f"allow_{flag.replace('-', '_')}" for flag in _ALLOWANCES]
            run_chain(run, wanted, Allowed(*(getattr(arguments, f, False) for f in flags)))


def study_main(description: str) -> None:
    """Read a study from the command line and do it, or describe what it would cost."""
    arguments = job_parser(description, SMALL).parse_args()
    with errors_in_words():
        study = load_study(arguments.config, tuple(arguments.overrides))
        trials = trials_of(study, arguments.config)
        if arguments.dry_run:
            for line in describe_study(study, trials):
                print(line, flush=True)
        else:
            run_study(study, trials)


def job_parser(description: str, default: str) -> argparse.ArgumentParser:
    """Return a parser of the arguments that every job takes; `default` is the config file."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", default=default, help=f"a YAML file; without it, {default}")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="a.b=c",
        help="change one setting; may be repeated",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be done, and do nothing"
    )
    return parser


@contextmanager
def errors_in_words(continues: bool = True) -> Iterator[None]:
    """Print a user's error in a few lines instead of a traceback, and exit.

    The exit code is 2 for what cannot be done as configured, 1 for what failed, and 130 for an
    interruption.

    Args:
        continues: Whether the same command continues where it was interrupted.
    """
    try:
        yield
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except FailedError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"interrupted{'; the same command continues' * continues}", file=sys.stderr)
        sys.exit(130)
